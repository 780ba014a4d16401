//! The imports that nothing serves yet: they link, and answer `ENOTSUP`.

use vnode_core::Errno;
use vnode_kernel::Process;

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};

pub(super) fn not_yet(process: &Process, memory: &GuestMemory<'_>, name: &'static str) -> Outcome {
    observed(process, memory, name, || Err::<Gave, _>(Errno::NOTSUP), |_| {})
}

macro_rules! absent {
    ($($serve:ident { $(fn $name:ident($(_: $type:ty),*);)* })*) => {
        $($(
            #[doc = concat!("`", stringify!($name), "`: not yet.")]
            pub fn $name(process: &Process, memory: &GuestMemory<'_> $(, _: $type)*) -> Outcome {
                $serve(process, memory, stringify!($name))
            }
        )*)*

        /// Their names.
        pub const ABSENT: &[&str] = &[$($(stringify!($name)),*),*];
    };
}

absent! {
not_yet {
    fn call_dynamic(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
    fn reflect_signature(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
    fn closure_prepare(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
    fn closure_allocate(_: u32);
    fn closure_free(_: u32);
    fn epoll_create(_: u32);
    fn epoll_ctl(_: u32, _: u32, _: u32, _: u32);
    fn epoll_wait(_: u32, _: u32, _: u32, _: u64, _: u32);
    fn proc_fork(_: u32, _: u32);
    fn proc_fork_env(_: u32);
    fn proc_snapshot();
    fn dlopen(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
    fn dlsym(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
    fn thread_spawn(_: u32, _: u32);
    fn thread_spawn_v2(_: u32, _: u32);
    fn thread_join(_: u32);
    fn context_create(_: u32, _: u32);
    fn context_switch(_: u64);
    fn context_destroy(_: u64);
    fn port_bridge(_: u32, _: u32, _: u32, _: u32, _: u32);
    fn port_unbridge();
    fn port_dhcp_acquire();
    fn port_addr_add(_: u32);
    fn port_addr_remove(_: u32);
    fn port_addr_clear();
    fn port_addr_list(_: u32, _: u32);
    fn port_mac(_: u32);
    fn port_gateway_set(_: u32);
    fn port_route_add(_: u32, _: u32, _: u32, _: u32);
    fn port_route_remove(_: u32);
    fn port_route_clear();
    fn port_route_list(_: u32, _: u32);
    fn sock_status(_: u32, _: u32);
    fn sock_addr_local(_: u32, _: u32);
    fn sock_addr_peer(_: u32, _: u32);
    fn sock_open(_: u32, _: u32, _: u32, _: u32);
    fn sock_set_opt_flag(_: u32, _: u32, _: u32);
    fn sock_get_opt_flag(_: u32, _: u32, _: u32);
    fn sock_set_opt_time(_: u32, _: u32, _: u32);
    fn sock_get_opt_time(_: u32, _: u32, _: u32);
    fn sock_set_opt_size(_: u32, _: u32, _: u64);
    fn sock_get_opt_size(_: u32, _: u32, _: u32);
    fn sock_join_multicast_v4(_: u32, _: u32, _: u32);
    fn sock_leave_multicast_v4(_: u32, _: u32, _: u32);
    fn sock_join_multicast_v6(_: u32, _: u32, _: u32);
    fn sock_leave_multicast_v6(_: u32, _: u32, _: u32);
    fn sock_bind(_: u32, _: u32);
    fn sock_listen(_: u32, _: u32);
    fn sock_connect(_: u32, _: u32);
    fn sock_recv_from(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
    fn sock_send_to(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
    fn sock_send_file(_: u32, _: u32, _: u64, _: u64, _: u32);
    fn resolve(_: u32, _: u32, _: u32, _: u32, _: u32, _: u32);
}
}
