/*
 * Fills a database as programs do, tells on stderr what is in it and writes its file to stdout.
 * Run by `cargo xtask real sqlite`; reread.py tells the same from the file.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sqlite3 *db;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void run(const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail(sql, error ? error : "failed");
}

/* Prints the first row of a query, its columns parted by '|'. */
static void tell(const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        fail(sql, sqlite3_errmsg(db));
    for (int i = 0; i < sqlite3_column_count(statement); i++)
        fprintf(stderr, "%s%s", i ? "|" : "", (const char *)sqlite3_column_text(statement, i));
    fprintf(stderr, "\n");
    sqlite3_finalize(statement);
}

/* WASI has no permission bits. SQLite leaves the call out there, but makes it for temporary files all the same. */
static int no_fchmod(int fd, mode_t mode)
{
    (void)fd;
    (void)mode;
    return 0;
}

static void open_database(const char *path)
{
    /* The VFS that locks by making directories: two connections see each other through the filesystem. */
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix-dotfile") != SQLITE_OK)
        fail(path, sqlite3_errmsg(db));
}

static void fill(void)
{
    run("pragma page_size = 4096; pragma journal_mode = delete");
    run("create table person (id integer primary key, name text not null, born integer, photo blob)");
    run("create table visit (person integer references person, at text, note text)");
    run("begin");
    run("with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
        "insert into person select i, 'name ' || (i * 7919 % 20011), 1900 + i % 120, zeroblob(i % 300) from n");
    run("with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000) "
        "insert into visit select i % 20000 + 1, date(i * 86400, 'unixepoch'), hex(i * i) from n");
    run("commit");
    run("create unique index by_name on person (name)");
    run("create index by_person on visit (person, at)");
    run("begin; delete from person; delete from visit; rollback");
    run("begin; savepoint s; update person set born = 0; rollback to s; update person set born = born + 1; commit");
    run("delete from visit where person % 5 = 0");
    run("delete from person where id % 5 = 0");
}

/* A second connection, through a link, must wait for the first. */
static void lock_out(const char *link)
{
    sqlite3 *first = db;
    run("begin exclusive");
    open_database(link);
    int result = sqlite3_exec(db, "select count(*) from person", NULL, NULL, NULL);
    if (result != SQLITE_BUSY)
        fail("a locked database", sqlite3_errstr(result));
    sqlite3_close(db);
    db = first;
    run("commit");
}

static void write_out(const char *path)
{
    static char block[65536];
    size_t count;
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(path, "cannot open");
    while ((count = fread(block, 1, sizeof block, file)) > 0)
        if (fwrite(block, 1, count, stdout) != count)
            fail(path, "cannot write out");
    fclose(file);
    if (fflush(stdout))
        fail(path, "cannot write out");
}

int main(int argc, char **argv)
{
    char path[512], link[512], hot[512];
    struct stat st;
    if (argc != 2)
        fail("usage", "DIRECTORY");
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix-dotfile");
    if (!vfs || vfs->xSetSystemCall(vfs, "fchmod", (sqlite3_syscall_ptr)no_fchmod) != SQLITE_OK)
        fail("unix-dotfile", "is not there");
    snprintf(path, sizeof path, "%s/data.db", argv[1]);
    snprintf(link, sizeof link, "%s/link.db", argv[1]);
    snprintf(hot, sizeof hot, "%s/data.db-journal", argv[1]);
    if (symlink(path, link) == -1)
        fail(link, "cannot link");
    open_database(link);
    fill();
    lock_out(path);
    run("vacuum");
    if (stat(hot, &st) == 0)
        fail(hot, "is left behind");
    tell("pragma integrity_check");
    tell("select count(*), sum(id), sum(born), min(name), max(name), sum(length(photo)) from person");
    tell("select count(*), sum(person), min(at), max(at), max(note) from visit");
    tell("select person.id, count(*) from person join visit on person = id where name = 'name 4711' group by id");
    tell("select page_count, page_size, freelist_count from pragma_page_count, pragma_page_size, pragma_freelist_count");
    if (sqlite3_close(db) != SQLITE_OK)
        fail("close", sqlite3_errmsg(db));
    write_out(path);
    return 0;
}
