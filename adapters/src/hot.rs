//! A value that may change while others use it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A value that all clones share; whoever reads gets it whole, as it is at that moment.
///
/// ```
/// use comfyd_adapters::hot::Hot;
/// let (one, other) = { let hot = Hot::new(1); (hot.clone(), hot) };
/// one.set(2);
/// assert_eq!(*other.get(), 2);
/// ```
pub struct Hot<T>(Arc<RwLock<Arc<T>>>);

impl<T> Hot<T> {
    /// With this value for a start.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value as it is now.
    pub fn get(&self) -> Arc<T> {
        // A value is exchanged in one statement, so a panic elsewhere does not spoil it.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another value in its place.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Hot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Hot<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Hot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
