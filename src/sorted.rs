//! A map in the order of its keys. The standard library's B-tree is three kilobytes for each kind of map, this a few
//! hundred bytes; and unlike one sorted vector it takes in any number of entries in any order without moving them all.

use std::borrow::Borrow;

/// A block with more entries than this is cut in two.
const MOST: usize = 256;

/// Entries in the order of their keys, each key once.
#[derive(Clone, Debug)]
pub struct Sorted<K, V> {
    /// Pieces of what would be one vector; none is empty.
    blocks: Vec<Vec<(K, V)>>,
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Sorted<K, V> {
        Sorted { blocks: Vec::new() }
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// The block in which a key is or belongs, and its place there.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let begins_before =
            |block: &Vec<(K, V)>| block.first().is_some_and(|(first, _)| first.borrow() <= key);
        let block = self.blocks.partition_point(begins_before).saturating_sub(1);
        let entries = self.blocks.get(block).map_or(&[][..], Vec::as_slice);
        (block, entries.binary_search_by(|(known, _)| known.borrow().cmp(key)))
    }

    /// What a key stands for.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (block, place) = self.find(key);
        self.blocks.get(block)?.get(place.ok()?).map(|(_, value)| value)
    }

    /// Has a key stand for a value, and returns what it stood for before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (block, place) = self.find(&key);
        let Some(entries) = self.blocks.get_mut(block) else {
            self.blocks.push(vec![(key, value)]);
            return None;
        };
        match place {
            Ok(place) => entries.get_mut(place).map(|(_, known)| std::mem::replace(known, value)),
            Err(place) => {
                entries.insert(place, (key, value));
                if entries.len() > MOST {
                    let rest = entries.split_off(MOST / 2);
                    self.blocks.insert(block + 1, rest);
                }
                None
            }
        }
    }
}

impl<K, V> Sorted<K, V> {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.blocks.clear();
    }

    /// Forgets what `keeps` does not want. It may change what it keeps.
    pub fn retain_mut(&mut self, mut keeps: impl FnMut(&mut V) -> bool) {
        for entries in &mut self.blocks {
            entries.retain_mut(|(_, value)| keeps(value));
        }
        self.blocks.retain(|entries| !entries.is_empty());
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.blocks.iter().flatten()
    }

    /// All entries, in order.
    #[must_use]
    pub fn into_vec(self) -> Vec<(K, V)> {
        let mut all = Vec::new();
        for entries in self.blocks {
            all.extend(entries);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Numbers below 4096 in no order, some of them more than once.
    fn shuffled() -> impl Iterator<Item = u32> {
        (0..8192_u32).map(|number| number.wrapping_mul(2_654_435_761) >> 20)
    }

    #[test]
    fn it_does_what_a_map_does() {
        let orders: [Vec<u32>; 3] = [shuffled().collect(), (0..4096).collect(), (0..4096).rev().collect()];
        for order in orders {
            let (mut sorted, mut map) = (Sorted::default(), BTreeMap::new());
            for (value, key) in order.into_iter().enumerate() {
                assert_eq!(sorted.insert(key, value), map.insert(key, value));
                assert_eq!((sorted.get(&key), sorted.len()), (Some(&value), map.len()));
            }
            assert!(sorted.blocks.iter().all(|entries| (1..=MOST).contains(&entries.len())));
            assert!(sorted.blocks.len() > 4096 / MOST / 2);
            assert_eq!(sorted.clone().into_vec(), map.clone().into_iter().collect::<Vec<_>>());
            for key in 0..5000 {
                assert_eq!(sorted.get(&key), map.get(&key));
            }
            sorted.retain_mut(|value| {
                *value += 1;
                *value % 1000 == 0
            });
            map.retain(|_, value| {
                *value += 1;
                *value % 1000 == 0
            });
            assert_eq!((sorted.len(), sorted.is_empty()), (map.len(), map.is_empty()));
            assert!(sorted.blocks.iter().all(|entries| !entries.is_empty()));
            assert_eq!(sorted.insert(7, 7), map.insert(7, 7));
            assert_eq!(sorted.clone().into_vec(), map.into_iter().collect::<Vec<_>>());
            sorted.clear();
            assert_eq!((sorted.is_empty(), sorted.get(&7)), (true, None));
        }
    }

    #[test]
    fn what_is_borrowed_finds_what_is_owned() {
        let mut sorted = Sorted::default();
        assert_eq!(sorted.insert("b".to_owned(), 1), None);
        assert_eq!(sorted.insert("a".to_owned(), 2), None);
        assert_eq!(sorted.insert("b".to_owned(), 3), Some(1));
        assert_eq!((sorted.get("a"), sorted.get("b"), sorted.get("c")), (Some(&2), Some(&3), None));
    }
}
