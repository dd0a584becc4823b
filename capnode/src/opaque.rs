//! `Debug` of types that show little of what is in them.

/// Makes `Debug` of a type, by its name and these of its parts: `opaque!([T] Pair<T> as pair { first: pair.0 })`. In
/// the brackets are the parameters of the type, if it has any.
macro_rules! opaque {
    (
        $([$($params:tt)*])? $name:ident $(<$($arg:tt),*>)?
        $(as $this:ident { $($field:ident: $value:expr),* $(,)? })?
    ) => {
        impl$(<$($params)*>)? std::fmt::Debug for $name $(<$($arg),*>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $(let $this = self;)?
                f.debug_struct(stringify!($name))$($(.field(stringify!($field), &$value))*)?.finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use opaque;
