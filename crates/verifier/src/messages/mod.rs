// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The table of messages.
//!
//! What the kernel says is a typed value here; its words are one rendering of it, per dialect. The
//! table is split by area, one file and one enum each, made by `messages!`. A row is
//!
//! ```text
//! /// When it is said, and where (function of kernel/bpf/verifier.c unless named otherwise).
//! Name { field: type } ERRNO => "text with {field}";
//! ```
//!
//! The errno is the one that the rejection carries nearly always; [`crate::env::Env::reject_with`]
//! overrides it. `NOTE` stands for a note that rejects nothing. The text has no line end: the
//! rendering adds it, except after `bare` where the kernel forgot it. Texts of further dialects
//! follow as `| V6_12 "text"`.

use crate::design::Dialect;
use crate::errno::Errno;
use core::fmt;

macro_rules! messages {
    (
        $(#[$doc:meta])*
        $area:ident {
            $( $(#[$row_doc:meta])*
               $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $ty:ty),* $(,)? })?
               $errno:ident => $($bare:ident)? $text:literal $(| $dialect:ident $other:literal)* ; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "the fields are what the text says")]
        pub enum $area {
            $( $(#[$row_doc])* $name $({ $($(#[$field_doc])* $field: $ty),* })? , )*
        }

        impl $area {
            /// The identifiers of all its messages, in the order of the table.
            pub const IDS: &[&str] = &[$(stringify!($name)),*];

            /// The identifier of the message, stable.
            #[must_use]
            pub const fn id(&self) -> &'static str {
                match self {
                    $( Self::$name $({ $($field: _),* })? => stringify!($name), )*
                }
            }

            /// The error number that goes with it; `None` for a note.
            #[must_use]
            pub const fn errno(&self) -> Option<$crate::errno::Errno> {
                match self {
                    $( Self::$name $({ $($field: _),* })? => messages!(@errno $errno), )*
                }
            }

            /// Whether the kernel ends the line.
            #[must_use]
            pub const fn ends_line(&self) -> bool {
                match self {
                    $( Self::$name $({ $($field: _),* })? => messages!(@ends $($bare)?), )*
                }
            }

            /// Writes the kernel's words, without the final line end.
            ///
            /// # Errors
            ///
            /// What the sink returns.
            pub fn write(
                &self,
                dialect: $crate::design::Dialect,
                f: &mut dyn core::fmt::Write,
            ) -> core::fmt::Result {
                match self {
                    $(
                        #[allow(unused_variables, clippy::match_single_binding)]
                        Self::$name $({ $($field),* })? => match dialect {
                            $( $crate::design::Dialect::$dialect => write!(f, $other), )*
                            _ => write!(f, $text),
                        },
                    )*
                }
            }
        }
    };
    (@errno NOTE) => { None };
    (@errno $errno:ident) => { Some($crate::errno::Errno::$errno) };
    (@ends bare) => { false };
    (@ends) => { true };
}

macro_rules! areas {
    ($($(#[$doc:meta])* $module:ident :: $area:ident),+ $(,)?) => {
        $(mod $module; pub use $module::$area;)+

        /// A message of any area.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Message {
            $($(#[$doc])* $area($area),)+
        }

        $(impl From<$area> for Message {
            fn from(message: $area) -> Self {
                Self::$area(message)
            }
        })+

        /// The areas: their names and the identifiers of their messages.
        pub const AREAS: &[(&str, &[&str])] = &[$((stringify!($area), $area::IDS)),+];

        impl Message {
            /// The name of its area.
            #[must_use]
            pub const fn area(&self) -> &'static str {
                match self { $(Self::$area(_) => stringify!($area),)+ }
            }

            /// The identifier of the message, stable; unique within its area.
            #[must_use]
            pub const fn id(&self) -> &'static str {
                match self { $(Self::$area(message) => message.id(),)+ }
            }

            /// The error number that goes with it; `None` for a note.
            #[must_use]
            pub const fn errno(&self) -> Option<Errno> {
                match self { $(Self::$area(message) => message.errno(),)+ }
            }

            /// Whether the kernel ends the line.
            #[must_use]
            pub const fn ends_line(&self) -> bool {
                match self { $(Self::$area(message) => message.ends_line(),)+ }
            }

            /// Writes a dialect's words, without the final line end.
            ///
            /// # Errors
            ///
            /// What the sink returns.
            pub fn write(&self, dialect: Dialect, out: &mut dyn fmt::Write) -> fmt::Result {
                match self { $(Self::$area(message) => message.write(dialect, out),)+ }
            }
        }
    };
}

areas! {
    /// Functions of the program.
    functions::Functions,
    /// Control flow, subprograms, wide loads.
    structure::Structure,
    /// BTF function and line info.
    btf_info::BtfInfo,
    /// CO-RE relocations.
    core_relo::CoreRelo,
    /// Reserved fields and forms of instructions.
    fields::Fields,
    /// What the program attaches to.
    attach::Attach,
    /// Stack depth and what comes after acceptance.
    finish::Finish,
    /// Registers: reading, writing, contradictions.
    registers::Registers,
    /// Arithmetic on numbers and pointers.
    arithmetic::Arithmetic,
    /// Loads and stores.
    memory::Memory,
    /// Pointers to kernel objects and arguments of kernel functions.
    btf_access::BtfAccess,
    /// References, locks, regions, dynptrs, iterators, special fields of map values.
    objects::Objects,
    /// Paths: jumps, loops, limits, calls and ends.
    path::Path,
    /// Calls of kfuncs.
    kfunc::Kfunc,
    /// Calls of helpers.
    helper::Helper,
}

impl Message {
    /// The message in a dialect's words.
    #[must_use]
    pub const fn text(&self, dialect: Dialect) -> MessageText<'_> {
        MessageText { message: self, dialect }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(Dialect::V6_18, f)
    }
}

/// A message in a dialect's words.
#[derive(Clone, Copy, Debug)]
pub struct MessageText<'m> {
    message: &'m Message,
    dialect: Dialect,
}

impl fmt::Display for MessageText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.write(self.dialect, f)
    }
}
