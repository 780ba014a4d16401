/*
 * A shell: pipelines by spawn, redirections, `&&`, `||`, `&`, `if`, `for`, `while`, variables, globbing. It reads its
 * script from a file, or from its standard input.
 *
 * Its commands are itself under other names: links at /bin, which it makes when it finds none.
 */
#include "commands.h"

/* Text of words, for as long as a command runs. */
static char arena[1 << 20];
static size_t taken;

static char *room_for(size_t length)
{
    if (taken + length > sizeof arena) {
        fprintf(stderr, "shell: no memory\n");
        exit(2);
    }
    taken += length;
    return arena + taken - length;
}

static char *kept(const char *text, size_t length)
{
    char *copy = room_for(length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

/* Tokens: words as they are written, and operators. */
struct token {
    const char *text;
    size_t length;
    int is_operator;
};

enum { TOKENS_MAX = 1 << 17, WORDS_MAX = 1024, STAGES_MAX = 16 };
static struct token tokens[TOKENS_MAX];
static int token_count, at;
static int status, last_background;
static char **parameters;
static int parameter_count;

static int is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static int operator_length(const char *text)
{
    static const char *const operators[] = { "2>&1", "2>", "&&", "||", ">>", "|", "&", ";", "<", ">", "\n", NULL };
    for (int index = 0; operators[index]; index++)
        if (!strncmp(text, operators[index], strlen(operators[index])))
            return (int)strlen(operators[index]);
    return 0;
}

/* The end of a word: quotes and what follows a backslash belong to it. */
static const char *word_end(const char *text)
{
    char quote = 0;
    for (; *text; text++) {
        if (quote) {
            if (*text == '\\' && quote == '"' && text[1])
                text++;
            else if (*text == quote)
                quote = 0;
        } else if (*text == '\'' || *text == '"') {
            quote = *text;
        } else if (*text == '\\' && text[1]) {
            text++;
        } else if (is_blank(*text) || (operator_length(text) && *text != '2')) {
            break;
        }
    }
    return text;
}

static void tokenize(const char *text)
{
    while (*text && token_count < TOKENS_MAX) {
        if (is_blank(*text)) {
            text++;
            continue;
        }
        if (*text == '#') {
            while (*text && *text != '\n')
                text++;
            continue;
        }
        size_t length = (size_t)operator_length(text);
        int is_operator = length > 0;
        if (!is_operator)
            length = (size_t)(word_end(text) - text);
        tokens[token_count++] = (struct token){ text, length, is_operator };
        text += length;
    }
}

static int is(int index, const char *text)
{
    return index < token_count && tokens[index].length == strlen(text) &&
           !strncmp(tokens[index].text, text, tokens[index].length);
}

static int is_operator(int index, const char *text)
{
    return is(index, text) && tokens[index].is_operator;
}

static int ends_command(int index)
{
    return index >= token_count || is_operator(index, "\n") || is_operator(index, ";") || is_operator(index, "&") ||
           is_operator(index, "&&") || is_operator(index, "||");
}

/* Words: what variables hold is put in, quotes are taken off, patterns are marked. */
struct text {
    char bytes[8192];
    size_t length;
    int is_pattern, is_quoted;
};

/* In front of what a pattern takes as it is. */
enum { LITERAL = 1 };

static void append(struct text *to, const char *bytes, size_t length, int literal)
{
    for (size_t index = 0; index < length && to->length + 2 < sizeof to->bytes; index++) {
        int special = bytes[index] == '*' || bytes[index] == '?';
        if (special && literal)
            to->bytes[to->length++] = LITERAL;
        to->is_pattern |= special && !literal;
        to->bytes[to->length++] = bytes[index];
    }
    to->bytes[to->length] = 0;
}

/* The value of what stands behind a `$`; answers where it ends. */
static const char *variable(const char *text, const char *end, struct text *to, int literal)
{
    char name[64], number[16];
    size_t length = 0;
    const char *value = NULL;
    int braced = text < end && *text == '{';
    text += braced;
    if (text < end && strchr("?!#", *text)) {
        snprintf(number, sizeof number, "%d", *text == '?' ? status : *text == '!' ? last_background : parameter_count);
        value = number;
        text++;
    } else {
        while (text < end && length < sizeof name - 1 &&
               (*text == '_' || (*text >= '0' && *text <= '9') || ((*text | 32) >= 'a' && (*text | 32) <= 'z')))
            name[length++] = *text++;
        name[length] = 0;
        if (*name >= '0' && *name <= '9')
            value = atoi(name) <= parameter_count ? parameters[atoi(name)] : NULL;
        else
            value = getenv(name);
    }
    append(to, value ? value : "", value ? strlen(value) : 0, literal);
    return text + (braced && text < end);
}

static void expand(const struct token *token, struct text *to)
{
    const char *text = token->text, *end = text + token->length;
    char quote = 0;
    to->length = 0;
    to->is_pattern = to->is_quoted = 0;
    to->bytes[0] = 0;
    while (text < end) {
        if (!quote && (*text == '\'' || *text == '"')) {
            quote = *text++;
            to->is_quoted = 1;
        } else if (quote && *text == quote) {
            quote = 0;
            text++;
        } else if (*text == '\\' && quote != '\'' && text + 1 < end) {
            append(to, text + 1, 1, 1);
            text += 2;
        } else if (*text == '$' && quote != '\'' && text + 1 < end) {
            text = variable(text + 1, end, to, quote);
        } else {
            append(to, text++, 1, quote);
        }
    }
}

static int matches(const char *pattern, const char *end, const char *name)
{
    for (; pattern < end; pattern++, name++) {
        if (*pattern == '*') {
            do
                if (matches(pattern + 1, end, name))
                    return 1;
            while (*name++);
            return 0;
        }
        if (!*name)
            return 0;
        pattern += *pattern == LITERAL;
        if (pattern[0] != *name && (*pattern != '?' || pattern[-1] == LITERAL))
            return 0;
    }
    return !*name;
}

/* Without the marks. */
static char *plain(const char *text, size_t length)
{
    char *copy = kept(text, length), *to = copy;
    for (const char *from = copy; *from; from++)
        if (*from != LITERAL)
            *to++ = *from;
    *to = 0;
    return copy;
}

/* Adds the paths that match what is left of a pattern, below one that is known. */
static int glob(const char *known, const char *pattern, char **words, int count)
{
    const char *slash = strchr(pattern, '/'), *end = slash ? slash : pattern + strlen(pattern);
    int special = 0;
    for (const char *byte = pattern; byte < end; byte++)
        special |= (*byte == '*' || *byte == '?') && (byte == pattern || byte[-1] != LITERAL);
    char *path = room_for(4096);
    if (!special) {
        struct stat st;
        snprintf(path, 4096, "%s%s%s", known, plain(pattern, (size_t)(end - pattern)), slash ? "/" : "");
        if (slash)
            return glob(path, slash + 1, words, count);
        if (count < WORDS_MAX - 1 && (!*path || fstatat(here, path, &st, AT_SYMLINK_NOFOLLOW) == 0))
            words[count++] = path;
        return count;
    }
    char **names = malloc(4096 * sizeof *names);
    int found = names_in(*known ? known : ".", names, 4096);
    for (int index = 0; index < found; index++) {
        if ((names[index][0] != '.' || *pattern == '.') && matches(pattern, end, names[index]) && count < WORDS_MAX - 1) {
            snprintf(path, 4096, "%s%s%s", known, names[index], slash ? "/" : "");
            if (slash)
                count = glob(path, slash + 1, words, count);
            else
                words[count++] = kept(path, strlen(path));
        }
        free(names[index]);
    }
    free(names);
    return count;
}

/* The words of a token: none for nothing unquoted, several for a pattern. */
static int words_of(const struct token *token, char **words, int count)
{
    static struct text text;
    expand(token, &text);
    if (!text.length && !text.is_quoted)
        return count;
    if (text.is_pattern) {
        char *pattern = kept(text.bytes, text.length);
        int more = glob("", pattern, words, count);
        if (more > count)
            return more;
    }
    if (count < WORDS_MAX - 1)
        words[count++] = plain(text.bytes, text.length);
    return count;
}

static char *word_of(const struct token *token)
{
    static struct text text;
    expand(token, &text);
    return plain(text.bytes, text.length);
}

/* A command of a pipeline. */
struct stage {
    char *words[WORDS_MAX];
    int count, action_count, standing;
    struct action actions[24];
};

static struct stage stages[STAGES_MAX];

static void adds_action(struct stage *stage, struct action action)
{
    if (stage->action_count < 20)
        stage->actions[stage->action_count++] = action;
}

/* Reads one command up to its end; without `live` it is only passed over. */
static void read_stage(struct stage *stage, int live)
{
    stage->count = stage->action_count = 0;
    for (; !ends_command(at) && !is_operator(at, "|"); at++) {
        static const struct { const char *text; int fd, flags; } ways[] = {
            { "<", 0, O_RDONLY }, { ">", 1, O_WRONLY | O_CREAT | O_TRUNC }, { ">>", 1, O_WRONLY | O_CREAT | O_APPEND },
            { "2>", 2, O_WRONLY | O_CREAT | O_TRUNC } };
        int way = 0;
        while (way < 4 && !is_operator(at, ways[way].text))
            way++;
        if (is_operator(at, "2>&1")) {
            adds_action(stage, (struct action)DUP(1, 2));
        } else if (way < 4 && at + 1 < token_count) {
            at++;
            if (live)
                adds_action(stage, (struct action)OPEN(ways[way].fd, word_of(&tokens[at]), ways[way].flags));
        } else if (live) {
            stage->count = words_of(&tokens[at], stage->words, stage->count);
        }
    }
    stage->words[stage->count] = NULL;
}

static const char *assigned(const char *word)
{
    const char *end = word;
    while (*end == '_' || ((*end | 32) >= 'a' && (*end | 32) <= 'z') || (end > word && *end >= '0' && *end <= '9'))
        end++;
    return end > word && *end == '=' ? end : NULL;
}

static int waited(int pid)
{
    int how = 0, ended;
    while ((ended = host_wait(pid, &how, 0)) == -1 && errno == EINTR)
        ;
    return ended == -1 ? 127 : how >= 1000 ? 128 + how - 1000 : how;
}

/* What the shell does itself; -1 if it doesn't. */
static int builtin(struct stage *stage)
{
    char **words = stage->words, *equals = stage->count ? (char *)assigned(words[0]) : NULL;
    if (!stage->count)
        return stage->action_count ? -1 : 0;
    if (equals && stage->count == 1) {
        *equals = 0;
        setenv(words[0], equals + 1, 1);
        return 0;
    }
    if (!strcmp(words[0], "cd")) {
        if (host_chdir(words[1] ? words[1] : "/") == -1)
            return failed("cd", words[1] ? words[1] : "/");
        return look_here() == -1 ? failed("cd", ".") : 0;
    }
    if (!strcmp(words[0], "exit")) {
        fflush(stdout);
        exit(words[1] ? atoi(words[1]) : status);
    }
    if (!strcmp(words[0], "read")) {
        static char line[4096];
        size_t length = 0;
        ssize_t got = 0;
        while (length < sizeof line - 1 && (got = read(0, line + length, 1)) == 1 && line[length] != '\n')
            length++;
        line[length] = 0;
        if (words[1])
            setenv(words[1], line, 1);
        return got == 1 ? 0 : 1;
    }
    if (!strcmp(words[0], "add") && stage->count == 3) {
        char number[32];
        const char *old = getenv(words[1]);
        snprintf(number, sizeof number, "%d", (old ? atoi(old) : 0) + atoi(words[2]));
        return setenv(words[1], number, 1);
    }
    if (!strcmp(words[0], "kill") && stage->count == 3)
        return host_kill(atoi(words[2]), atoi(words[1])) == -1 ? failed("kill", "process") : 0;
    if (!strcmp(words[0], "wait")) {
        if (words[1])
            return waited(atoi(words[1]));
        int how;
        while (host_wait(-1, &how, 0) != -1 || errno == EINTR)
            ;
        return 0;
    }
    if (!strcmp(words[0], "exec") && stage->count > 1) {
        fflush(stdout);
        host_exec(SEARCHED, words[1], words + 1, environ);
        return failed("exec", words[1]);
    }
    return -1;
}

/* Runs a pipeline, by children of which each reads what the one before it writes. */
static int run_pipeline(int count, int in_background)
{
    int pids[STAGES_MAX], from = -1, how = 0;
    if (count == 1 && !in_background && (how = builtin(&stages[0])) != -1)
        return how;
    fflush(stdout);
    for (int index = 0; index < count; index++) {
        struct stage *stage = &stages[index];
        struct action actions[32];
        int fds[2] = { -1, -1 }, more = 0;
        if (index + 1 < count) {
            NEED(host_pipe(fds));
            NEED(host_setfd(fds[0], FD_CLOEXEC));
            NEED(host_setfd(fds[1], FD_CLOEXEC));
        }
        if (from >= 0)
            actions[more++] = (struct action)DUP(from, 0);
        if (fds[1] >= 0)
            actions[more++] = (struct action)DUP(fds[1], 1);
        memcpy(actions + more, stage->actions, sizeof stage->actions[0] * (size_t)stage->action_count);
        pids[index] = -1;
        how = 0;
        char *const nothing[] = { "true", NULL };
        char *const *words = stage->count ? stage->words : nothing;
        if (host_spawn_ignoring(&pids[index], SEARCHED, words[0], words, environ, actions, more + stage->action_count,
                                NULL, 0) == -1) {
            how = errno == ENOENT ? 127 : 126;
            failed("shell", words[0]);
        }
        if (from >= 0)
            close(from);
        if (fds[1] >= 0)
            close(fds[1]);
        from = fds[0];
    }
    if (in_background) {
        last_background = pids[count - 1];
        return 0;
    }
    for (int index = 0; index < count; index++)
        if (pids[index] >= 0) {
            int ended = waited(pids[index]);
            if (index == count - 1)
                how = ended;
        }
    return how;
}

static void run_list(int live);

static void skip_breaks(void)
{
    while (is_operator(at, "\n") || is_operator(at, ";"))
        at++;
}

static void expect(const char *text)
{
    skip_breaks();
    if (!is(at, text)) {
        fprintf(stderr, "shell: no %s\n", text);
        exit(2);
    }
    at++;
}

static void run_if(int live)
{
    expect("if");
    run_list(live);
    int holds = status == 0;
    expect("then");
    run_list(live && holds);
    skip_breaks();
    if (is(at, "else")) {
        at++;
        run_list(live && !holds);
    } else if (live && !holds) {
        status = 0;
    }
    expect("fi");
}

static void run_while(int live)
{
    expect("while");
    for (int start = at;; at = start) {
        run_list(live);
        int holds = live && status == 0;
        expect("do");
        run_list(holds);
        expect("done");
        if (!holds)
            break;
    }
    status = live ? 0 : status;
}

static void run_for(int live)
{
    static char *words[8][WORDS_MAX];
    static int depth;
    int count = 0;
    size_t mark = taken;
    expect("for");
    const char *name = kept(tokens[at].text, tokens[at].length);
    at++;
    expect("in");
    char **list = words[depth++ & 7];
    for (; !ends_command(at); at++)
        if (live)
            count = words_of(&tokens[at], list, count);
    expect("do");
    int start = at;
    for (int index = 0; index < count; index++) {
        setenv(name, list[index], 1);
        at = start;
        run_list(live);
    }
    if (!count)
        run_list(0);
    expect("done");
    depth--;
    taken = mark;
}

static void run_command(int live)
{
    int count = 0;
    size_t mark = taken;
    if (is(at, "if"))
        run_if(live);
    else if (is(at, "while"))
        run_while(live);
    else if (is(at, "for"))
        run_for(live);
    else {
        do {
            at += count > 0;
            read_stage(&stages[count], live);
        } while (++count < STAGES_MAX && is_operator(at, "|"));
        if (live)
            status = run_pipeline(count, is_operator(at, "&"));
    }
    taken = mark;
}

/* Commands up to a word that closes what they are in. */
static void run_list(int live)
{
    static const char *const closing[] = { "then", "else", "fi", "do", "done", NULL };
    int runs = live;
    for (;;) {
        skip_breaks();
        if (at >= token_count)
            return;
        for (int index = 0; closing[index]; index++)
            if (is(at, closing[index]))
                return;
        run_command(runs);
        while (is_operator(at, "&"))
            at++;
        if (is_operator(at, "&&") || is_operator(at, "||")) {
            runs = live && (status == 0) == is_operator(at, "&&");
            at++;
        } else {
            runs = live;
        }
    }
}

/* All of a script. */
static char *script(const char *path)
{
    int fd = path ? openat(here, path, O_RDONLY) : 0;
    size_t length = 0, room = 1 << 20;
    char *text = malloc(room + 1);
    ssize_t got;
    if (fd < 0)
        exit(failed("shell", path) + 126);
    while ((got = read(fd, text + length, room - length)) > 0)
        if ((length += (size_t)got) == room)
            text = realloc(text, (room *= 2) + 1);
    if (path)
        close(fd);
    text[length] = 0;
    return text;
}

/* Puts itself at /bin under the names of its commands. */
static void install(void)
{
    int bin = open("/bin", O_RDONLY | O_DIRECTORY);
    for (int index = 0; commands[index]; index++)
        symlinkat("shell", bin, commands[index]);
    symlinkat("shell", bin, "sh");
    close(bin);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    for (int index = 0; commands[index]; index++)
        if (!strcmp(name, commands[index])) {
            look_here();
            return command(name, argc, argv);
        }
    if (strcmp(name, "sh")) {
        confine();
        setenv("PATH", "/bin", 1);
        install();
    }
    look_here();
    parameters = argv + 1;
    parameter_count = argc > 2 ? argc - 2 : 0;
    tokenize(script(argc > 1 ? argv[1] : NULL));
    run_list(1);
    return status;
}
