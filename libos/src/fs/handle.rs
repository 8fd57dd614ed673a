//! Handles by which files refer to each other, and to sockets of the internet families.
//!
//! They are apart from the values, so that what holds a handle need not name what it leads to.

use super::slab::Key;

/// Sort of the handles of inodes.
#[derive(Debug)]
pub enum Node {}
/// Sort of the handles of open file descriptions.
#[derive(Debug)]
pub enum Open {}
/// Sort of the handles of sockets of the internet families.
#[derive(Debug)]
pub enum Internet {}

/// Handle of an inode.
pub type NodeKey = Key<Node>;
/// Handle of an open file description.
pub type DescriptionKey = Key<Open>;
/// Handle of a socket of the internet families.
pub type SocketKey = Key<Internet>;
