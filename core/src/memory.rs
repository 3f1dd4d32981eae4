//! What the server's allocator makes of the sizes it is asked for.

/// Bytes that an allocation of `n` bytes takes: the smallest size class of jemalloc that holds it,
/// which is what the servers are built with. Nothing is allocated for 0 bytes.
///
/// The classes are 8, the multiples of 16 up to 128, and then four to each doubling (160, 192, 224,
/// 256, 320, …). Source: jemalloc(3), "Size classes", for a quantum of 16 bytes.
#[inline]
pub const fn alloc_size(n: usize) -> usize {
    match n {
        0 => 0,
        1..=8 => 8,
        9..=128 => n.next_multiple_of(16),
        _ => n.next_multiple_of(n.next_power_of_two() / 8),
    }
}

/// Entries that a node of a B-tree of the standard library has room for.
const NODE: usize = 11;
/// Entries that ten of them are taken to have, of those in the nodes above too.
const PER_TEN_NODES: usize = 75;

/// Bytes of a map (or, with `V` nothing, set) of the standard library with `len` entries. Up to 11 are
/// one node. Beyond, it depends on the order they came in: filled in order there are 7 entries to a
/// node, filled in any other about 8.2. What is answered lies between.
pub(crate) const fn btree_bytes<K, V>(len: usize) -> usize {
    // The entries, the node above, and two small numbers.
    let leaf = (NODE * (size_of::<K>() + size_of::<V>()) + 12).next_multiple_of(8);
    if len <= NODE {
        return if len == 0 { 0 } else { alloc_size(leaf) };
    }
    let leaves = len * 10 / PER_TEN_NODES + 1;
    let inner = leaf + (NODE + 1) * size_of::<usize>();
    leaves * alloc_size(leaf) + (leaves * 10 / PER_TEN_NODES + 1) * alloc_size(inner)
}

/// Changes something that takes memory, and keeps the sum over all of its kind.
#[inline]
pub(crate) fn counted<T, R>(
    thing: &mut T,
    sum: &mut usize,
    bytes: impl Fn(&T) -> usize,
    change: impl FnOnce(&mut T) -> R,
) -> R {
    let before = bytes(thing);
    let result = change(thing);
    *sum = *sum + bytes(thing) - before;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size is rounded up to the first class of the manual's table that holds it.
    #[test]
    fn sizes_are_those_of_the_manual() {
        let classes = [
            0, 8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640,
            768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
        ];
        for n in 0..=8192 {
            let class = classes.into_iter().find(|class| *class >= n);
            assert_eq!(Some(alloc_size(n)), class, "{n}");
        }
        assert_eq!(alloc_size((1 << 20) + 1), (1 << 20) + (1 << 18));
    }
}
