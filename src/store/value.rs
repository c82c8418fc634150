//! The types that a column can have, and their Arrow form.
//!
//! A list's element is called `element`, as the Parquet specification requires, and is never null. Structs are null
//! only in an optional column.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};
use serde::{Serialize, Serializer};

use super::error::{Error, Result as StoreResult};
use super::schema::Column;
use crate::digest::hex;
use crate::mask::{Mask, RleError};
use crate::measure::{Kind, Measure, MeasureTable, Reading, Readings};

/// A Rust type that fills a column.
pub trait Value: Sized {
    /// True where the column may hold nulls.
    const NULLABLE: bool = false;

    /// The column's Arrow type.
    fn data_type() -> DataType;

    /// One value after the other as an Arrow array; `None` is a null.
    fn array(values: &[Option<&Self>]) -> ArrayRef;

    /// Back from an Arrow array: as many values as the array has. Null slots give an empty or zero value, which only
    /// `Option` tells from a real one.
    ///
    /// # Errors
    /// A sentence that says which type was expected and which was found.
    fn read(array: &dyn Array) -> Result<Vec<Self>, String>;

    /// Bytes that the value takes in a column, before encoding.
    fn weight(&self) -> usize;
}

/// A field of a row: one column, or several that are described elsewhere.
pub trait Columns: Sized {
    /// The columns. Name, unit and meaning are those of the field, and describe it where it is a single column.
    fn columns(name: &'static str, unit: &'static str, meaning: &'static str) -> Vec<Column>;

    /// The field of one row after the other, an Arrow array for each column.
    fn arrays(rows: &[&Self]) -> Vec<ArrayRef>;

    /// Back from a batch that has these columns. The name is that of the field.
    ///
    /// # Errors
    /// A sentence that names the column at fault, the expected and the found type.
    fn read_columns(batch: &RecordBatch, name: &str) -> Result<Vec<Self>, String>;

    /// Bytes that the field takes in its columns, before encoding.
    fn columns_weight(&self) -> usize;
}

impl<T: Value> Columns for T {
    fn columns(name: &'static str, unit: &'static str, meaning: &'static str) -> Vec<Column> {
        vec![column_of::<T>(name, unit, meaning.into())]
    }

    fn arrays(rows: &[&Self]) -> Vec<ArrayRef> {
        vec![T::array(&rows.iter().copied().map(Some).collect::<Vec<_>>())]
    }

    fn read_columns(batch: &RecordBatch, name: &str) -> Result<Vec<Self>, String> {
        let array = batch.column_by_name(name).ok_or_else(|| format!("column {name}: not there"))?;
        T::read(array).map_err(|reason| format!("column {name}: {reason}"))
    }

    fn columns_weight(&self) -> usize {
        self.weight()
    }
}

fn column_of<T: Value>(name: &'static str, unit: &'static str, meaning: Cow<'static, str>) -> Column {
    Column { name, data_type: T::data_type(), nullable: T::NULLABLE, unit, meaning }
}

/// Calls a function of a type parameter and arguments with the Rust type that fills the column of a measure.
macro_rules! with_type_of {
    ($kind:expr, $function:ident($($argument:expr),+)) => {
        match $kind {
            Kind::Number => $function::<f64>($($argument),+),
            Kind::NumberOrNull => $function::<Option<f64>>($($argument),+),
            Kind::Count => $function::<u32>($($argument),+),
            Kind::Code => $function::<u8>($($argument),+),
            Kind::Word => $function::<String>($($argument),+),
        }
    };
}

/// A column for each measure of the table.
impl<T: MeasureTable> Columns for Readings<T> {
    fn columns(_: &'static str, _: &'static str, _: &'static str) -> Vec<Column> {
        let column = |(place, measure): (usize, &Measure)| {
            with_type_of!(measure.kind, column_of(measure.name, measure.unit, T::meaning(place).into()))
        };
        T::measures().enumerate().map(column).collect()
    }

    fn arrays(rows: &[&Self]) -> Vec<ArrayRef> {
        let array = |(place, measure): (usize, &Measure)| {
            let readings: Vec<&Reading> = rows.iter().map(|row| row.at(place)).collect();
            with_type_of!(measure.kind, array_of(&readings))
        };
        T::measures().enumerate().map(array).collect()
    }

    fn read_columns(batch: &RecordBatch, _: &str) -> Result<Vec<Self>, String> {
        let column = |measure: &Measure| with_type_of!(measure.kind, readings_of(batch, measure.name));
        let mut columns =
            T::measures().map(|measure| Ok(column(measure)?.into_iter())).collect::<Result<Vec<_>, String>>()?;
        let row = |_| Readings::new(columns.iter_mut().filter_map(Iterator::next));
        Ok((0..batch.num_rows()).map(row).collect())
    }

    fn columns_weight(&self) -> usize {
        let one = |reading: &Reading| match reading {
            Reading::Undefined => 0,
            Reading::Number(value) => value.weight(),
            Reading::Count(value) => value.weight(),
            Reading::Code(value) => value.weight(),
            Reading::Word(word) => word.len(),
        };
        self.iter().map(|(_, reading)| one(reading)).sum()
    }
}

/// A type that fills the column of a measure.
trait Measured: Value + Into<Reading> {
    /// The value of a reading of this type; `None` for another type.
    fn of(reading: &Reading) -> Option<Self>;
}

macro_rules! measured {
    ($($type:ty: $pattern:pat => $value:expr;)+) => {$(
        impl Measured for $type {
            fn of(reading: &Reading) -> Option<Self> {
                match reading {
                    $pattern => Some($value),
                    _ => None,
                }
            }
        }
    )+};
}

measured! {
    f64: Reading::Number(value) => *value;
    u32: Reading::Count(value) => *value;
    u8: Reading::Code(value) => *value;
    String: Reading::Word(word) => word.to_string();
}

impl Measured for Option<f64> {
    fn of(reading: &Reading) -> Option<Self> {
        Some(f64::of(reading))
    }
}

/// A reading of another type than the measure's is a null, which a column that has none refuses.
fn array_of<T: Measured>(readings: &[&Reading]) -> ArrayRef {
    let values: Vec<Option<T>> = readings.iter().map(|reading| T::of(reading)).collect();
    T::array(&values.iter().map(Option::as_ref).collect::<Vec<_>>())
}

fn readings_of<T: Measured>(batch: &RecordBatch, name: &str) -> Result<Vec<Reading>, String> {
    Ok(T::read_columns(batch, name)?.into_iter().map(T::into).collect())
}

pub(super) fn mismatch<T: Value>(array: &dyn Array) -> String {
    format!("expected {}, found {}", T::data_type(), array.data_type())
}

macro_rules! primitive {
    ($($type:ty, $arrow:ty, $data_type:ident;)+) => {$(
        impl Value for $type {
            fn data_type() -> DataType {
                DataType::$data_type
            }

            fn array(values: &[Option<&Self>]) -> ArrayRef {
                Arc::new(PrimitiveArray::<$arrow>::from_iter(values.iter().map(|v| v.copied())))
            }

            fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
                let array = array.as_primitive_opt::<$arrow>().ok_or_else(|| mismatch::<Self>(array))?;
                Ok(array.values().to_vec())
            }

            fn weight(&self) -> usize {
                size_of::<Self>()
            }
        }
    )+};
}

primitive! {
    u8, UInt8Type, UInt8;
    u32, UInt32Type, UInt32;
    u64, UInt64Type, UInt64;
    f32, Float32Type, Float32;
    f64, Float64Type, Float64;
}

impl Value for bool {
    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn array(values: &[Option<&Self>]) -> ArrayRef {
        Arc::new(values.iter().map(|v| v.copied()).collect::<BooleanArray>())
    }

    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let array = array.as_boolean_opt().ok_or_else(|| mismatch::<Self>(array))?;
        Ok(array.values().iter().collect())
    }

    fn weight(&self) -> usize {
        1
    }
}

impl Value for String {
    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn array(values: &[Option<&Self>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<StringArray>())
    }

    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let array = array.as_string_opt::<i32>().ok_or_else(|| mismatch::<Self>(array))?;
        Ok((0..array.len()).map(|i| array.value(i).to_string()).collect())
    }

    fn weight(&self) -> usize {
        self.len()
    }
}

/// A value of a binary column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// As a text of hexadecimal digits.
impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(self))
    }
}

impl Value for Bytes {
    fn data_type() -> DataType {
        DataType::Binary
    }

    fn array(values: &[Option<&Self>]) -> ArrayRef {
        let total = values.iter().flatten().map(|v| v.len()).sum();
        let mut builder = BinaryBuilder::with_capacity(values.len(), total);
        values.iter().for_each(|value| builder.append_option(value.map(|v| &v.0)));
        Arc::new(builder.finish())
    }

    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let array = array.as_binary_opt::<i32>().ok_or_else(|| mismatch::<Self>(array))?;
        Ok((0..array.len()).map(|i| Bytes(array.value(i).to_vec())).collect())
    }

    fn weight(&self) -> usize {
        self.len()
    }
}

impl<T: Value> Value for Option<T> {
    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        T::data_type()
    }

    fn array(values: &[Option<&Self>]) -> ArrayRef {
        T::array(&values.iter().map(|v| v.and_then(Option::as_ref)).collect::<Vec<_>>())
    }

    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let values = T::read(array)?;
        Ok(values.into_iter().enumerate().map(|(i, value)| array.is_valid(i).then_some(value)).collect())
    }

    fn weight(&self) -> usize {
        self.as_ref().map_or(0, T::weight)
    }
}

fn list_type<T: Value>() -> DataType {
    DataType::List(Arc::new(Field::new("element", T::data_type(), false)))
}

fn list_array<T: Value>(values: &[Option<&[T]>]) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(values.iter().map(|v| v.map_or(0, <[T]>::len)));
    let elements: Vec<Option<&T>> = values.iter().flatten().flat_map(|v| v.iter()).map(Some).collect();
    let field = Field::new("element", T::data_type(), false);
    Arc::new(ListArray::new(Arc::new(field), offsets, T::array(&elements), nulls(values)))
}

fn nulls<T>(values: &[Option<T>]) -> Option<NullBuffer> {
    values.iter().any(Option::is_none).then(|| values.iter().map(Option::is_some).collect())
}

impl<T: Value> Value for Vec<T> {
    fn data_type() -> DataType {
        list_type::<T>()
    }

    fn array(values: &[Option<&Self>]) -> ArrayRef {
        list_array(&values.iter().map(|v| v.map(Vec::as_slice)).collect::<Vec<_>>())
    }

    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let list = array.as_list_opt::<i32>().ok_or_else(|| mismatch::<Self>(array))?;
        let offsets = list.value_offsets();
        let (start, end) = (offsets[0] as usize, offsets[list.len()] as usize);
        let mut elements = T::read(&list.values().slice(start, end - start))?.into_iter();
        Ok(offsets.windows(2).map(|w| elements.by_ref().take((w[1] - w[0]) as usize).collect()).collect())
    }

    fn weight(&self) -> usize {
        4 + self.iter().map(T::weight).sum::<usize>()
    }
}

/// A list of a length that is always the same. It is written as a plain list, which every reader knows.
impl<T: Value + Copy + Default, const N: usize> Value for [T; N] {
    fn data_type() -> DataType {
        list_type::<T>()
    }

    fn array(values: &[Option<&Self>]) -> ArrayRef {
        list_array(&values.iter().map(|v| v.map(|v| &v[..])).collect::<Vec<_>>())
    }

    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let fixed = |(i, list): (usize, Vec<T>)| match <[T; N]>::try_from(list) {
            Ok(values) => Ok(values),
            Err(_) if array.is_null(i) => Ok([T::default(); N]),
            Err(list) => Err(format!("expected a list of {N} values, found {}", list.len())),
        };
        Vec::<T>::read(array)?.into_iter().enumerate().map(fixed).collect()
    }

    fn weight(&self) -> usize {
        4 + self.iter().map(T::weight).sum::<usize>()
    }
}

/// Defines a struct and the struct column it fills, field by field. `nullable` declares the column and its fields as if
/// they might be null.
macro_rules! group {
    ($(#[$about:meta])+ pub struct $name:ident, nullable = $nullable:literal { $($(#[$meaning:meta])+ pub $field:ident: $type:ty,)+ }) => {
        $(#[$about])+
        #[derive(Serialize)]
        pub struct $name {
            $($(#[$meaning])+ pub $field: $type,)+
        }

        impl $name {
            fn fields() -> Fields {
                vec![$(Field::new(stringify!($field), <$type>::data_type(), $nullable)),+].into()
            }
        }

        impl Value for $name {
            const NULLABLE: bool = $nullable;

            fn data_type() -> DataType {
                DataType::Struct(Self::fields())
            }

            fn array(values: &[Option<&Self>]) -> ArrayRef {
                let columns = vec![
                    $(<$type>::array(&values.iter().map(|v| v.map(|v| &v.$field)).collect::<Vec<_>>())),+
                ];
                Arc::new(StructArray::new(Self::fields(), columns, nulls(values)))
            }

            fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
                let group = array.as_struct_opt().ok_or_else(|| mismatch::<Self>(array))?;
                $(
                    let column = group.column_by_name(stringify!($field)).ok_or_else(|| mismatch::<Self>(array))?;
                    let mut $field = <$type>::read(column)?.into_iter();
                )+
                let next = || Some($name { $($field: $field.next()?),+ });
                Ok(std::iter::from_fn(next).collect())
            }

            fn weight(&self) -> usize {
                0 $(+ self.$field.weight())+
            }
        }
    };
}

group! {
    /// An encoded picture, in the form that Hugging Face `datasets` decodes. It has one in every row, and is declared
    /// nullable anyway: `datasets` 5.2 takes a column for an image only if its Arrow field is exactly its own.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct EncodedImage, nullable = true {
        /// The picture file: an 8-bit PNG, grey or RGB.
        pub bytes: Bytes,
        /// A file name for it.
        pub path: String,
    }
}

group! {
    /// A mask as COCO's compressed run-length code, in the form that pycocotools takes.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Rle, nullable = false {
        /// Height and width in pixels.
        pub size: [u32; 2],
        /// The code, ASCII.
        pub counts: Bytes,
    }
}

group! {
    /// A member of the raw download that went into a case.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RawMember, nullable = false {
        /// Path inside the download, archives included.
        pub path: String,
        /// Bytes.
        pub size: u64,
        /// SHA-256 of the bytes, in hex.
        pub sha256: String,
        /// What it is to the case: image, mask, metadata.
        pub role: String,
    }
}

impl From<&Mask> for Rle {
    fn from(mask: &Mask) -> Self {
        Rle { size: [mask.height(), mask.width()], counts: Bytes(mask.to_coco()) }
    }
}

impl Rle {
    /// The mask of the row that has this id.
    ///
    /// # Errors
    /// [`Error::DamagedMask`] where it is no code of a mask of its size.
    pub fn decode(&self, id: &str) -> StoreResult<Mask> {
        Mask::try_from(self).map_err(|reason| Error::DamagedMask { id: id.to_string(), reason })
    }
}

impl TryFrom<&Rle> for Mask {
    type Error = RleError;

    fn try_from(rle: &Rle) -> Result<Self, RleError> {
        Mask::from_coco(rle.size[0], rle.size[1], &rle.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Value + PartialEq + std::fmt::Debug>(values: Vec<T>) {
        let array = T::array(&values.iter().map(Some).collect::<Vec<_>>());
        assert_eq!(array.len(), values.len());
        assert_eq!(T::read(&array).unwrap(), values);
        if values.len() > 1 {
            assert_eq!(T::read(&array.slice(1, values.len() - 1)).unwrap(), values[1..], "an offset is respected");
        }
    }

    #[test]
    fn values_come_back() {
        round_trip(vec![Some(1.5f64), None, Some(-0.0)]);
        round_trip(vec![vec![1u8, 2], vec![], vec![3]]);
        round_trip(vec![Some([1.0f64, 2.0, 3.0, 4.0]), None]);
        round_trip(vec![None, Some(vec![String::from("a")]), Some(vec![])]);
        let rle = Rle { size: [3, 4], counts: Bytes(b"353L".to_vec()) };
        round_trip(vec![rle.clone(), rle.clone()]);
        round_trip(vec![None, Some(rle), None]);
    }

    #[test]
    fn wrong_types_and_lengths_are_named() {
        let numbers = u32::array(&[Some(&1)]);
        assert_eq!(String::read(&numbers).unwrap_err(), "expected Utf8, found UInt32");
        let list = Vec::<u32>::array(&[Some(&vec![1, 2, 3])]);
        assert_eq!(<[u32; 4]>::read(&list).unwrap_err(), "expected a list of 4 values, found 3");
    }
}
