//! Memory of volumes that is used again.

use bytemuck::Pod;

use crate::image::Samples;
use crate::memory::{Beyond, Room};

/// Volumes whose memory is kept: an image and a label map.
const KEPT: usize = 2;

/// Memory of volumes that are done with, for the next ones to be decoded into: memory fresh from the system costs a
/// tenth of the time that a gzipped volume takes.
///
/// A worker has one of its own, lends it to [`read_file`](crate::formats::read_file) and gives back with
/// [`recycle`](Self::recycle) what it needs no longer. What is read does not depend on it.
#[derive(Debug, Default)]
pub struct Scratch {
    done_with: Vec<Samples>,
    /// What the case in work has taken; what is kept is no part of it.
    pub(crate) room: Room,
}

impl Scratch {
    /// Nothing kept, for files of a case that has an account.
    pub(crate) fn within(room: &Room) -> Self {
        Self { done_with: Vec::new(), room: room.clone() }
    }

    /// Keeps the memory of a volume for a later one of the same type. It takes the place of the volume kept longest
    /// where two are kept already.
    pub fn recycle(&mut self, samples: Samples) {
        self.done_with.push(samples);
        if self.done_with.len() > KEPT {
            self.done_with.remove(0);
        }
    }

    /// `count` samples of any value, whose memory is taken of `room`. Memory that is kept and does not serve is freed in
    /// exchange, so that no more volumes are held than are in use at once.
    pub(super) fn memory<T: Kept>(&mut self, count: usize, room: &Room) -> Result<Vec<T>, Beyond> {
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        room.take(bytes)?;
        let place = self.done_with.iter_mut().position(|samples| fitting::<T>(samples, count).is_some()).unwrap_or(0);
        let mut taken = (place < self.done_with.len()).then(|| self.done_with.remove(place));
        match taken.as_mut().and_then(|samples| fitting(samples, count)).map(std::mem::take) {
            Some(mut values) => {
                values.resize(count, T::zeroed());
                Ok(values)
            }
            None => {
                // Some more for a larger volume to come, which costs nothing until it is written to.
                let mut values = Vec::new();
                values.try_reserve_exact(count + count / 4).map_err(|_| room.refused(bytes))?;
                values.resize(count, T::zeroed());
                Ok(values)
            }
        }
    }

    /// Bytes of memory that is kept.
    pub(crate) fn kept(&self) -> u64 {
        self.done_with.iter().map(Samples::reserved).sum()
    }

    /// Frees what is kept.
    pub(crate) fn clear(&mut self) {
        self.done_with.clear();
    }
}

/// The memory of samples that are kept, if `count` values of this type have room in it.
fn fitting<T: Kept>(samples: &mut Samples, count: usize) -> Option<&mut Vec<T>> {
    T::vector(samples).filter(|values| values.capacity() >= count)
}

/// Type of samples whose memory may be kept.
pub(super) trait Kept: Pod {
    /// The values of samples of this type.
    fn vector(samples: &mut Samples) -> Option<&mut Vec<Self>>;

    /// Values as samples.
    fn samples(values: Vec<Self>) -> Samples;
}

macro_rules! kept {
    ($($kind:ident: $type:ty),+) => {$(
        impl Kept for $type {
            fn vector(samples: &mut Samples) -> Option<&mut Vec<Self>> {
                if let Samples::$kind(values) = samples { Some(values) } else { None }
            }

            fn samples(values: Vec<Self>) -> Samples {
                Samples::$kind(values)
            }
        }
    )+};
}

kept! { U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64, F32: f32, F64: f64 }
