//! Setters of the fields of a struct, which may get more of them.

/// Makes a setter of each field, of its name.
macro_rules! setters {
    ($struct:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl $struct {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $field(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*}
    };
}

pub(crate) use setters;
