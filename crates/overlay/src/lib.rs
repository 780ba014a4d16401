//! Overlay.

mod attributes;
mod builder;
mod content;
mod copy_up;
mod file;
mod layers;
mod links;
mod listing;
mod lookup;
mod marks;
mod names;
mod node;
mod overlay;
mod rename;
mod table;
mod work;
mod xattr;

pub use builder::Builder;
pub use marks::Marks;
pub use node::Node;
pub use overlay::Overlay;
