//! Lists that are nearly always empty, in values that are moved all the time.

use std::ops::{Deref, DerefMut};

/// A list that takes one word, and no allocation while it is empty.
#[derive(Clone, Debug)]
// Two allocations for a filled list are the price of one word for an empty one.
#[allow(clippy::box_collection)]
pub(crate) struct ThinVec<T>(Option<Box<Vec<T>>>);

impl<T> ThinVec<T> {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn push(&mut self, item: T) {
        self.0.get_or_insert_default().push(item);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.0.as_mut()?.pop()
    }

    #[inline(never)]
    fn clear(&mut self) {
        self.0 = None;
    }

    /// Takes out the items from a position on.
    pub(crate) fn split_off(&mut self, at: usize) -> Vec<T> {
        self.0.as_mut().map_or_else(Vec::new, |items| items.split_off(at))
    }
}

impl<T> Drop for ThinVec<T> {
    #[inline]
    fn drop(&mut self) {
        // There is nothing to drop, most often, which takes no call to see.
        if self.0.is_some() {
            self.clear();
        }
    }
}

impl<T> Default for ThinVec<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T: PartialEq> PartialEq for ThinVec<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> From<Vec<T>> for ThinVec<T> {
    fn from(items: Vec<T>) -> Self {
        Self((!items.is_empty()).then(|| Box::new(items)))
    }
}

impl<T> From<ThinVec<T>> for Vec<T> {
    fn from(mut items: ThinVec<T>) -> Self {
        items.0.take().map_or_else(Vec::new, |items| *items)
    }
}

impl<T> FromIterator<T> for ThinVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<T> Deref for ThinVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Some(items) => items,
            None => &[],
        }
    }
}

impl<T> DerefMut for ThinVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Some(items) => items,
            None => &mut [],
        }
    }
}

impl<T> IntoIterator for ThinVec<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl<'a, T> IntoIterator for &'a ThinVec<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut ThinVec<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
