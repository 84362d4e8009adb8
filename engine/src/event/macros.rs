//! One list per event enum: the stored name, the version, the body and the sync class stand side by side.

/// Declares an event enum whose variants hold a struct of the same name.
macro_rules! events {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $kind:literal, $version:literal, $class:ident;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$doc])* $variant($variant),)+
        }

        impl $name {
            /// The stored names of all kinds, with their versions.
            pub const KINDS: &[(&str, u32)] = &[$(($kind, $version)),+];

            /// The stored name of this kind.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)+ }
            }

            /// The version of this kind's body.
            pub fn version(&self) -> u32 {
                match self { $(Self::$variant(_) => $version,)+ }
            }

            /// How soon it must be on disk.
            pub fn sync_class(&self) -> $crate::event::SyncClass {
                match self { $(Self::$variant(_) => $crate::event::SyncClass::$class,)+ }
            }
        }

        impl $crate::journal::envelope::Body for $name {
            fn encode(&self, at: $crate::time::Timestamp) -> Vec<u8> {
                match self { $(Self::$variant(data) => $crate::journal::envelope::write(at, $kind, $version, data),)+ }
            }

            fn decode(kind: &str, version: u32, data: &[u8]) -> Result<Self, $crate::journal::envelope::DecodeError> {
                match kind {
                    $($kind if version == $version => Ok(Self::$variant($crate::journal::envelope::data(kind, data)?)),)+
                    _ => Err($crate::journal::envelope::DecodeError::UnknownKind { kind: kind.to_owned(), version }),
                }
            }
        }

        impl serde::Serialize for $name {
            /// A map `{kind, version, data}`, for people and tools.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("kind", self.kind())?;
                map.serialize_entry("version", &self.version())?;
                match self { $(Self::$variant(data) => map.serialize_entry("data", data)?,)+ }
                map.end()
            }
        }

        $(impl From<$variant> for $name {
            fn from(data: $variant) -> Self { Self::$variant(data) }
        })+
    };
}

pub(crate) use events;
