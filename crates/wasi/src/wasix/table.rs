//! The imports of `wasix_32v1`, each with its WebAssembly signature and the function that serves it.

/// Calls `$then!` with the functions of `wasix_32v1`, as [`for_each_preview1!`](crate::for_each_preview1) does with its own.
#[macro_export]
macro_rules! for_each_wasix {
    ($then:ident $($extra:tt)*) => {
        $then! { [$($extra)*]
            fn args_get(argv: u32, argv_buf: u32) -> i32 = $crate::preview1::args_get;
            fn args_sizes_get(argc: u32, argv_buf_size: u32) -> i32 = $crate::preview1::args_sizes_get;
            fn call_dynamic(
                function_id: u32, values: u32, values_len: u32, results: u32, results_len: u32, strict: u32
            ) -> i32 = $crate::wasix::absent::call_dynamic;
            fn reflect_signature(
                function_id: u32, argument_types: u32, argument_types_len: u32, result_types: u32,
                result_types_len: u32, result: u32
            ) -> i32 = $crate::wasix::absent::reflect_signature;
            fn clock_res_get(clock_id: u32, resolution: u32) -> i32 = $crate::preview1::clock_res_get;
            fn clock_time_get(clock_id: u32, precision: u64, time: u32) -> i32
                = $crate::preview1::clock_time_get;
            fn clock_time_set(clock_id: u32, time: u64) -> i32 = $crate::wasix::clock_time_set;
            fn closure_prepare(
                backing_function: u32, closure: u32, argument_types_ptr: u32, argument_types_length: u32,
                result_types_ptr: u32, result_types_length: u32, environment: u32
            ) -> i32 = $crate::wasix::absent::closure_prepare;
            fn closure_allocate(closure: u32) -> i32 = $crate::wasix::absent::closure_allocate;
            fn closure_free(closure: u32) -> i32 = $crate::wasix::absent::closure_free;
            fn environ_get(environ: u32, environ_buf: u32) -> i32 = $crate::preview1::environ_get;
            fn environ_sizes_get(environ_count: u32, environ_buf_size: u32) -> i32
                = $crate::preview1::environ_sizes_get;
            fn epoll_create(ret_fd: u32) -> i32 = $crate::wasix::absent::epoll_create;
            fn epoll_ctl(epfd: u32, op: u32, fd: u32, event_ref: u32) -> i32
                = $crate::wasix::absent::epoll_ctl;
            fn epoll_wait(epfd: u32, events: u32, maxevents: u32, timeout: u64, ret_nevents: u32) -> i32
                = $crate::wasix::absent::epoll_wait;
            fn fd_advise(fd: u32, offset: u64, len: u64, advice: u32) -> i32 = $crate::preview1::fd_advise;
            fn fd_allocate(fd: u32, offset: u64, len: u64) -> i32 = $crate::preview1::fd_allocate;
            fn fd_close(fd: u32) -> i32 = $crate::preview1::fd_close;
            fn fd_datasync(fd: u32) -> i32 = $crate::preview1::fd_datasync;
            fn fd_fdstat_get(fd: u32, buf_ptr: u32) -> i32 = $crate::preview1::fd_fdstat_get;
            fn fd_fdstat_set_flags(fd: u32, flags: u32) -> i32 = $crate::preview1::fd_fdstat_set_flags;
            fn fd_fdstat_set_rights(fd: u32, fs_rights_base: u64, fs_rights_inheriting: u64) -> i32
                = $crate::preview1::fd_fdstat_set_rights;
            fn fd_filestat_get(fd: u32, buf: u32) -> i32 = $crate::preview1::fd_filestat_get;
            fn fd_filestat_set_size(fd: u32, st_size: u64) -> i32 = $crate::preview1::fd_filestat_set_size;
            fn fd_filestat_set_times(fd: u32, st_atim: u64, st_mtim: u64, fst_flags: u32) -> i32
                = $crate::preview1::fd_filestat_set_times;
            fn fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32) -> i32
                = $crate::preview1::fd_pread;
            fn fd_prestat_get(fd: u32, buf: u32) -> i32 = $crate::preview1::fd_prestat_get;
            fn fd_prestat_dir_name(fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::fd_prestat_dir_name;
            fn fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32) -> i32
                = $crate::preview1::fd_pwrite;
            fn fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32) -> i32 = $crate::preview1::fd_read;
            fn fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, bufused: u32) -> i32
                = $crate::preview1::fd_readdir;
            fn fd_renumber(from: u32, to: u32) -> i32 = $crate::preview1::fd_renumber;
            fn fd_dup(fd: u32, ret_fd: u32) -> i32 = $crate::wasix::fd_dup;
            fn fd_dup2(fd: u32, min_result_fd: u32, cloexec: u32, ret_fd: u32) -> i32
                = $crate::wasix::fd_dup2;
            fn fd_fdflags_get(wasi_fd: u32, buf_ptr: u32) -> i32 = $crate::wasix::fd_fdflags_get;
            fn fd_fdflags_set(fd: u32, flags: u32) -> i32 = $crate::wasix::fd_fdflags_set;
            fn fd_event(initial_val: u64, flags: u32, ret_fd: u32) -> i32 = $crate::wasix::fd_event;
            fn fd_seek(fd: u32, offset: i64, whence: u32, newoffset: u32) -> i32 = $crate::preview1::fd_seek;
            fn fd_sync(fd: u32) -> i32 = $crate::preview1::fd_sync;
            fn fd_tell(fd: u32, offset: u32) -> i32 = $crate::preview1::fd_tell;
            fn fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32) -> i32 = $crate::preview1::fd_write;
            fn fd_pipe(ro_read_fd: u32, ro_write_fd: u32) -> i32 = $crate::wasix::fd_pipe;
            fn path_create_directory(fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::path_create_directory;
            fn path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, buf: u32) -> i32
                = $crate::preview1::path_filestat_get;
            fn path_filestat_set_times(
                fd: u32, flags: u32, path: u32, path_len: u32, st_atim: u64, st_mtim: u64, fst_flags: u32
            ) -> i32 = $crate::preview1::path_filestat_set_times;
            fn path_link(
                old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32,
                new_path_len: u32
            ) -> i32 = $crate::preview1::path_link;
            fn path_open(
                dirfd: u32, dirflags: u32, path: u32, path_len: u32, o_flags: u32, fs_rights_base: u64,
                fs_rights_inheriting: u64, fs_flags: u32, fd: u32
            ) -> i32 = $crate::preview1::path_open;
            fn path_open2(
                dirfd: u32, dirflags: u32, path: u32, path_len: u32, o_flags: u32, fs_rights_base: u64,
                fs_rights_inheriting: u64, fs_flags: u32, fd_flags: u32, fd: u32
            ) -> i32 = $crate::wasix::path_open2;
            fn path_readlink(
                dir_fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, buf_used: u32
            ) -> i32 = $crate::preview1::path_readlink;
            fn path_remove_directory(fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::path_remove_directory;
            fn path_rename(
                old_fd: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32
            ) -> i32 = $crate::preview1::path_rename;
            fn path_symlink(
                old_path: u32, old_path_len: u32, fd: u32, new_path: u32, new_path_len: u32
            ) -> i32 = $crate::preview1::path_symlink;
            fn path_unlink_file(fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::path_unlink_file;
            fn poll_oneoff(subscriptions: u32, out_: u32, nsubscriptions: u32, nevents: u32) -> i32
                = $crate::preview1::poll_oneoff;
            fn proc_exit(code: u32) -> () = $crate::preview1::proc_exit;
            fn proc_fork(copy_memory: u32, pid_ptr: u32) -> i32 = $crate::wasix::absent::proc_fork;
            fn proc_fork_env(child_pid_ptr: u32) -> i32 = $crate::wasix::absent::proc_fork_env;
            fn proc_join(pid_ptr: u32, flags: u32, status_ptr: u32) -> i32 = $crate::wasix::proc_join;
            fn proc_signal(pid: u32, sig: u32) -> i32 = $crate::wasix::proc_signal;
            fn proc_signals_get(buf: u32) -> i32 = $crate::wasix::proc_signals_get;
            fn proc_signals_sizes_get(signal_count: u32) -> i32 = $crate::wasix::proc_signals_sizes_get;
            fn proc_exec(name: u32, name_len: u32, args: u32, args_len: u32) -> ()
                = $crate::wasix::proc_exec;
            fn proc_exec2(name: u32, name_len: u32, args: u32, args_len: u32, envs: u32, envs_len: u32) -> ()
                = $crate::wasix::proc_exec2;
            fn proc_exec3(
                name: u32, name_len: u32, args: u32, args_len: u32, envs: u32, envs_len: u32,
                search_path: u32, path: u32, path_len: u32
            ) -> i32 = $crate::wasix::proc_exec3;
            fn proc_exec4(
                name: u32, name_len: u32, args: u32, args_len: u32, envs: u32, envs_len: u32,
                search_path: u32, path: u32, path_len: u32
            ) -> i32 = $crate::wasix::proc_exec4;
            fn proc_exit2(code: u32) -> () = $crate::wasix::proc_exit2;
            fn proc_raise(sig: u32) -> i32 = $crate::preview1::proc_raise;
            fn proc_raise_interval(sig: u32, interval: u64, repeat: u32) -> i32
                = $crate::wasix::proc_raise_interval;
            fn proc_snapshot() -> i32 = $crate::wasix::absent::proc_snapshot;
            fn proc_spawn(
                name: u32, name_len: u32, chroot: u32, args: u32, args_len: u32, preopen: u32,
                preopen_len: u32, stdin: u32, stdout: u32, stderr: u32, working_dir: u32,
                working_dir_len: u32, ret_handles: u32
            ) -> i32 = $crate::wasix::proc_spawn;
            fn proc_spawn2(
                name: u32, name_len: u32, args: u32, args_len: u32, envs: u32, envs_len: u32, fd_ops: u32,
                fd_ops_len: u32, signal_actions: u32, signal_actions_len: u32, search_path: u32, path: u32,
                path_len: u32, ret: u32
            ) -> i32 = $crate::wasix::proc_spawn2;
            fn proc_spawn3(
                name: u32, name_len: u32, args: u32, args_len: u32, envs: u32, envs_len: u32, fd_ops: u32,
                fd_ops_len: u32, signal_actions: u32, signal_actions_len: u32, search_path: u32, path: u32,
                path_len: u32, ret: u32
            ) -> i32 = $crate::wasix::proc_spawn3;
            fn proc_id(ret_pid: u32) -> i32 = $crate::wasix::proc_id;
            fn proc_parent(pid: u32, ret_parent: u32) -> i32 = $crate::wasix::proc_parent;
            fn random_get(buf: u32, buf_len: u32) -> i32 = $crate::preview1::random_get;
            fn tty_get(tty_state: u32) -> i32 = $crate::wasix::tty_get;
            fn tty_set(tty_state: u32) -> i32 = $crate::wasix::tty_set;
            fn getcwd(path: u32, path_len: u32) -> i32 = $crate::wasix::getcwd;
            fn chdir(path: u32, path_len: u32) -> i32 = $crate::wasix::chdir;
            fn dl_invalid_handle(handle: u32) -> i32 = $crate::wasix::dl_invalid_handle;
            fn dlopen(
                path: u32, path_len: u32, flags: u32, err_buf: u32, err_buf_len: u32, ld_library_path: u32,
                ld_library_path_len: u32, out_handle: u32
            ) -> i32 = $crate::wasix::absent::dlopen;
            fn dlsym(
                handle: u32, symbol: u32, symbol_len: u32, err_buf: u32, err_buf_len: u32, out_symbol: u32
            ) -> i32 = $crate::wasix::absent::dlsym;
            fn callback_signal(name: u32, name_len: u32) -> () = $crate::wasix::callback_signal;
            fn thread_spawn(start_ptr: u32, ret_tid: u32) -> i32 = $crate::wasix::absent::thread_spawn;
            fn thread_spawn_v2(start_ptr: u32, ret_tid: u32) -> i32 = $crate::wasix::absent::thread_spawn_v2;
            fn thread_sleep(duration: u64) -> i32 = $crate::wasix::thread_sleep;
            fn thread_id(ret_tid: u32) -> i32 = $crate::wasix::thread_id;
            fn thread_signal(tid: u32, sig: u32) -> i32 = $crate::wasix::thread_signal;
            fn thread_join(join_tid: u32) -> i32 = $crate::wasix::absent::thread_join;
            fn thread_parallelism(ret_parallelism: u32) -> i32 = $crate::wasix::thread_parallelism;
            fn thread_exit(_exitcode: u32) -> () = $crate::wasix::thread_exit;
            fn sched_yield() -> i32 = $crate::preview1::sched_yield;
            fn stack_checkpoint(snapshot_ptr: u32, ret_val: u32) -> i32
                = $crate::wasix::engine::stack_checkpoint;
            fn stack_restore(snapshot_ptr: u32, val: u64) -> () = $crate::wasix::engine::stack_restore;
            fn context_create(new_context_ptr: u32, entrypoint: u32) -> i32
                = $crate::wasix::absent::context_create;
            fn context_switch(target_context_id: u64) -> i32 = $crate::wasix::absent::context_switch;
            fn context_destroy(target_context_id: u64) -> i32 = $crate::wasix::absent::context_destroy;
            fn futex_wait(futex_ptr: u32, expected: u32, timeout: u32, ret_woken: u32) -> i32
                = $crate::wasix::futex_wait;
            fn futex_wake(futex_ptr: u32, ret_woken: u32) -> i32 = $crate::wasix::futex_wake;
            fn futex_wake_all(futex_ptr: u32, ret_woken: u32) -> i32 = $crate::wasix::futex_wake_all;
            fn port_bridge(network: u32, network_len: u32, token: u32, token_len: u32, security: u32) -> i32
                = $crate::wasix::absent::port_bridge;
            fn port_unbridge() -> i32 = $crate::wasix::absent::port_unbridge;
            fn port_dhcp_acquire() -> i32 = $crate::wasix::absent::port_dhcp_acquire;
            fn port_addr_add(ip: u32) -> i32 = $crate::wasix::absent::port_addr_add;
            fn port_addr_remove(ip: u32) -> i32 = $crate::wasix::absent::port_addr_remove;
            fn port_addr_clear() -> i32 = $crate::wasix::absent::port_addr_clear;
            fn port_addr_list(addrs_ptr: u32, naddrs_ptr: u32) -> i32 = $crate::wasix::absent::port_addr_list;
            fn port_mac(ret_mac: u32) -> i32 = $crate::wasix::absent::port_mac;
            fn port_gateway_set(ip: u32) -> i32 = $crate::wasix::absent::port_gateway_set;
            fn port_route_add(cidr: u32, via_router: u32, preferred_until: u32, expires_at: u32) -> i32
                = $crate::wasix::absent::port_route_add;
            fn port_route_remove(ip: u32) -> i32 = $crate::wasix::absent::port_route_remove;
            fn port_route_clear() -> i32 = $crate::wasix::absent::port_route_clear;
            fn port_route_list(routes_ptr: u32, nroutes_ptr: u32) -> i32
                = $crate::wasix::absent::port_route_list;
            fn sock_status(sock: u32, ret_status: u32) -> i32 = $crate::wasix::absent::sock_status;
            fn sock_addr_local(sock: u32, ret_addr: u32) -> i32 = $crate::wasix::absent::sock_addr_local;
            fn sock_addr_peer(sock: u32, ro_addr: u32) -> i32 = $crate::wasix::absent::sock_addr_peer;
            fn sock_open(af: u32, ty: u32, pt: u32, ro_sock: u32) -> i32 = $crate::wasix::absent::sock_open;
            fn sock_pair(af: u32, ty: u32, pt: u32, ro_sock1: u32, ro_sock2: u32) -> i32
                = $crate::wasix::sock_pair;
            fn sock_set_opt_flag(sock: u32, opt: u32, flag: u32) -> i32
                = $crate::wasix::absent::sock_set_opt_flag;
            fn sock_get_opt_flag(sock: u32, opt: u32, ret_flag: u32) -> i32
                = $crate::wasix::absent::sock_get_opt_flag;
            fn sock_set_opt_time(sock: u32, opt: u32, time: u32) -> i32
                = $crate::wasix::absent::sock_set_opt_time;
            fn sock_get_opt_time(sock: u32, opt: u32, ret_time: u32) -> i32
                = $crate::wasix::absent::sock_get_opt_time;
            fn sock_set_opt_size(sock: u32, opt: u32, size: u64) -> i32
                = $crate::wasix::absent::sock_set_opt_size;
            fn sock_get_opt_size(sock: u32, opt: u32, ret_size: u32) -> i32
                = $crate::wasix::absent::sock_get_opt_size;
            fn sock_join_multicast_v4(sock: u32, multiaddr: u32, iface: u32) -> i32
                = $crate::wasix::absent::sock_join_multicast_v4;
            fn sock_leave_multicast_v4(sock: u32, multiaddr: u32, iface: u32) -> i32
                = $crate::wasix::absent::sock_leave_multicast_v4;
            fn sock_join_multicast_v6(sock: u32, multiaddr: u32, iface: u32) -> i32
                = $crate::wasix::absent::sock_join_multicast_v6;
            fn sock_leave_multicast_v6(sock: u32, multiaddr: u32, iface: u32) -> i32
                = $crate::wasix::absent::sock_leave_multicast_v6;
            fn sock_bind(sock: u32, addr: u32) -> i32 = $crate::wasix::absent::sock_bind;
            fn sock_listen(sock: u32, backlog: u32) -> i32 = $crate::wasix::absent::sock_listen;
            fn sock_accept(sock: u32, fd_flags: u32, ro_fd: u32, ro_addr: u32) -> i32
                = $crate::wasix::sock_accept;
            fn sock_accept_v2(sock: u32, fd_flags: u32, ro_fd: u32, ro_addr: u32) -> i32
                = $crate::wasix::sock_accept_v2;
            fn sock_connect(sock: u32, addr: u32) -> i32 = $crate::wasix::absent::sock_connect;
            fn sock_recv(
                sock: u32, ri_data: u32, ri_data_len: u32, ri_flags: u32, ro_data_len: u32, ro_flags: u32
            ) -> i32 = $crate::preview1::sock_recv;
            fn sock_recv_from(
                sock: u32, ri_data: u32, ri_data_len: u32, ri_flags: u32, ro_data_len: u32, ro_flags: u32,
                ro_addr: u32
            ) -> i32 = $crate::wasix::absent::sock_recv_from;
            fn sock_send(fd: u32, si_data: u32, si_data_len: u32, si_flags: u32, ret_data_len: u32) -> i32
                = $crate::preview1::sock_send;
            fn sock_send_to(
                sock: u32, si_data: u32, si_data_len: u32, si_flags: u32, addr: u32, ret_data_len: u32
            ) -> i32 = $crate::wasix::absent::sock_send_to;
            fn sock_send_file(sock: u32, in_fd: u32, offset: u64, count: u64, ret_sent: u32) -> i32
                = $crate::wasix::absent::sock_send_file;
            fn sock_shutdown(sock: u32, how: u32) -> i32 = $crate::preview1::sock_shutdown;
            fn resolve(host: u32, host_len: u32, port: u32, addrs: u32, naddrs: u32, ret_naddrs: u32) -> i32
                = $crate::wasix::absent::resolve;
        }
    };
}

/// The names of `wasix_32v1`.
pub const WASIX_NAMES: &[&str] = for_each_wasix!(names);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::PREVIEW1_NAMES;
    use crate::wasix::absent::ABSENT;

    /// `docs/WASIX.md`, as the table makes it.
    fn document() -> String {
        let mut text = String::from(include_str!("head.md"));
        for name in WASIX_NAMES {
            let status = match (ABSENT.contains(name), PREVIEW1_NAMES.contains(name)) {
                (true, _) => "not yet",
                (false, true) => "as preview 1",
                (false, false) => "served",
            };
            text += &format!("| `{name}` | {status} |\n");
        }
        text
    }

    #[test]
    fn every_import_is_there_once() {
        let names: BTreeSet<_> = WASIX_NAMES.iter().collect();
        assert_eq!((WASIX_NAMES.len(), names.len()), (140, 140));
        assert!(PREVIEW1_NAMES.iter().all(|name| names.contains(name)));
        assert!(ABSENT.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn the_document_is_what_the_table_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/WASIX.md");
        if std::env::var_os("VNODE_BLESS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == document(), "docs/WASIX.md is not what the table makes: test with VNODE_BLESS=1");
    }
}
