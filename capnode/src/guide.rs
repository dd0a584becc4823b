//! A guide to the library, by topic.
//!
//! These pages are in the repository too, in the folder `capnode/docs`. Start with [`first`]; [`semantics`] has the
//! exact rules.

/// Maps the links between the pages to their modules: a page itself has the names of files, which are valid in the
/// repository.
macro_rules! links {
    () => {
        "[first]: crate::guide::first
[login]: crate::guide::login
[membranes]: crate::guide::membranes
[callbacks]: crate::guide::callbacks
[events]: crate::guide::callbacks#callbacks-and-events
[streams]: crate::guide::streams
[maps]: crate::guide::maps
[errors]: crate::guide::errors
[plugins]: crate::guide::plugins
[browser]: crate::guide::browser
[typescript]: crate::guide::typescript
[batches]: crate::guide::batches
[observing]: crate::guide::observing
[testing]: crate::guide::testing
[reconnecting]: crate::guide::reconnecting
[lifetime]: crate::guide::lifetime
[semantics]: crate::guide::semantics
[missing]: crate::guide::semantics#calls-that-ask-for-what-is-not-there
[exposing]: crate::guide::exposing
[permissions]: crate::guide::permissions
[peers]: crate::guide::peers
[from-javascript]: crate::guide::from_javascript
[differences]: crate::guide::from_javascript#what-is-different-and-why
"
    };
}

#[doc = links!()]
#[doc = include_str!("../docs/first.md")]
pub mod first {}

#[doc = links!()]
#[doc = include_str!("../docs/login.md")]
pub mod login {}

#[doc = links!()]
#[doc = include_str!("../docs/membranes.md")]
pub mod membranes {}

#[doc = links!()]
#[doc = include_str!("../docs/callbacks.md")]
pub mod callbacks {}

#[doc = links!()]
#[doc = include_str!("../docs/streams.md")]
pub mod streams {}

#[doc = links!()]
#[doc = include_str!("../docs/maps.md")]
pub mod maps {}

#[doc = links!()]
#[doc = include_str!("../docs/errors.md")]
pub mod errors {}

#[doc = links!()]
#[doc = include_str!("../docs/plugins.md")]
pub mod plugins {}

#[doc = links!()]
#[doc = include_str!("../docs/browser.md")]
pub mod browser {}

#[doc = links!()]
#[doc = include_str!("../docs/typescript.md")]
pub mod typescript {}

#[doc = links!()]
#[doc = include_str!("../docs/batches.md")]
pub mod batches {}

#[doc = links!()]
#[doc = include_str!("../docs/observing.md")]
pub mod observing {}

#[doc = links!()]
#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = links!()]
#[doc = include_str!("../docs/reconnecting.md")]
pub mod reconnecting {}

#[doc = links!()]
#[doc = include_str!("../docs/lifetime.md")]
pub mod lifetime {}

#[doc = links!()]
#[doc = include_str!("../docs/semantics.md")]
pub mod semantics {}

#[doc = links!()]
#[doc = include_str!("../docs/exposing.md")]
pub mod exposing {}

#[doc = links!()]
#[doc = include_str!("../docs/permissions.md")]
pub mod permissions {}

#[doc = links!()]
#[doc = include_str!("../docs/peers.md")]
pub mod peers {}

#[doc = links!()]
#[doc = include_str!("../docs/from-javascript.md")]
pub mod from_javascript {}
