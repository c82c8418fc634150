//! COCO's JSON, the part that is read and written: images, categories, and annotations with run-length masks.
//!
//! Format: <https://cocodataset.org/#format-data> and, for results, `loadRes` of pycocotools. The runs are coded by
//! [`Mask`](crate::mask::Mask). Files from any program are read, so ids may be any JSON value and other fields are
//! ignored; written files contain every field that pycocotools and detectron2 require, and their origin. Fields are
//! written in alphabetical order.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use serde::ser::{Error as _, SerializeSeq, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::ser::Formatter;

/// A file, as far as it is read.
#[derive(Debug, Deserialize)]
pub struct Document {
    /// Pictures.
    pub images: Vec<Image>,
    /// What is annotated.
    pub categories: Vec<Category>,
    /// Masks.
    #[serde(default)]
    pub annotations: Vec<Annotation>,
}

/// The same where only images and categories matter: its annotations may have any form.
#[derive(Debug, Deserialize)]
pub struct Explanation {
    /// Pictures.
    pub images: Vec<Image>,
    /// What is annotated.
    pub categories: Vec<Category>,
}

/// A picture. Of a file that is read, its number and name are taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Image {
    /// Path below the folder of pictures.
    pub file_name: String,
    /// Rows.
    #[serde(skip_deserializing)]
    pub height: u32,
    /// Number by which annotations name it.
    pub id: Value,
    /// Number of its licence; 0 for none.
    #[serde(skip_deserializing)]
    pub license: usize,
    /// Imaging modality.
    #[serde(skip_deserializing)]
    pub modality: String,
    /// Patient, as the source names them.
    #[serde(skip_deserializing)]
    pub patient_id: String,
    /// Short name of its source.
    #[serde(skip_deserializing)]
    pub source: String,
    /// Split that the source publishes.
    #[serde(skip_deserializing)]
    pub split: Option<String>,
    /// Columns.
    #[serde(skip_deserializing)]
    pub width: u32,
}

/// What is annotated. Of a file that is read, its number and name are taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Category {
    /// Number by which annotations name it.
    pub id: Value,
    /// Name of the label.
    pub name: String,
    /// Object that the label is a kind or a side of.
    #[serde(skip_deserializing)]
    pub supercategory: String,
}

/// A mask, or a prediction of one. Of a file that is read, its image, category, mask and score are taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Annotation {
    /// Pixels.
    #[serde(skip_deserializing)]
    pub area: u32,
    /// Left, top, width and height in pixels.
    #[serde(skip_deserializing)]
    pub bbox: [u32; 4],
    /// Number of the category.
    pub category_id: Value,
    /// Whether its category is left out of results.
    #[serde(skip_deserializing)]
    pub excluded: bool,
    /// Its number, from 1.
    #[serde(skip_deserializing)]
    pub id: u64,
    /// Number of the image.
    pub image_id: Value,
    /// 0: the mask is of one object. pycocotools takes a run-length code for either.
    #[serde(skip_deserializing)]
    pub iscrowd: u8,
    /// Id of the mask in the tables.
    #[serde(skip_deserializing)]
    pub mask_id: String,
    /// How sure a model is of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// The mask.
    #[serde(default)]
    pub segmentation: Segmentation,
}

/// The mask of an annotation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segmentation {
    /// A run-length code.
    Runs(Runs),
    /// Polygons, nothing, or what else there may be.
    Other(Value),
}

impl Default for Segmentation {
    fn default() -> Self {
        Segmentation::Other(Value::Null)
    }
}

/// A run-length code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Runs {
    /// The runs.
    pub counts: Counts,
    /// Height and width.
    pub size: [u32; 2],
}

/// Lengths of runs, column by column, the first of background.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counts {
    /// As numbers.
    Plain(Vec<u32>),
    /// As pycocotools compresses them.
    Compressed(String),
}

/// Terms of images.
#[derive(Clone, Debug, Serialize)]
pub struct Licence {
    /// Number by which images name them.
    pub id: usize,
    /// SPDX identifier.
    pub name: String,
    /// Home page of the source.
    pub url: String,
}

/// Writes a file: each image and annotation on a line of its own, as it comes, so that at most one is in memory.
///
/// # Errors
/// Outside, the first image or annotation that cannot be had; inside, what writing to `out` gives.
pub fn write<E>(
    out: impl Write,
    description: &str,
    licences: &[Licence],
    categories: &[Category],
    images: impl Iterator<Item = Result<Image, E>>,
    annotations: impl Iterator<Item = Result<Annotation, E>>,
) -> Result<io::Result<()>, E> {
    #[derive(Serialize)]
    struct Info<'a> {
        description: &'a str,
    }
    let mut serializer = serde_json::Serializer::with_formatter(out, Lines::default());
    let failed = Cell::new(None);
    let written = (|| {
        let mut file = serializer.serialize_struct("Document", 5)?;
        file.serialize_field("info", &Info { description })?;
        file.serialize_field("licenses", licences)?;
        file.serialize_field("categories", categories)?;
        file.serialize_field("images", &Streamed { items: RefCell::new(images), failed: &failed })?;
        file.serialize_field("annotations", &Streamed { items: RefCell::new(annotations), failed: &failed })?;
        SerializeStruct::end(file)
    })();
    match failed.take() {
        Some(error) => Err(error),
        None => Ok(written.map_err(io::Error::from)),
    }
}

/// A list whose items are made while they are written. The first that cannot be made is put into `failed`.
struct Streamed<'a, I, E> {
    items: RefCell<I>,
    failed: &'a Cell<Option<E>>,
}

impl<T: Serialize, E, I: Iterator<Item = Result<T, E>>> Serialize for Streamed<'_, I, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for item in &mut *self.items.borrow_mut() {
            match item {
                Ok(item) => list.serialize_element(&item)?,
                Err(error) => {
                    self.failed.set(Some(error));
                    return Err(S::Error::custom("an item cannot be had"));
                }
            }
        }
        list.end()
    }
}

/// JSON without blanks, except for line ends before the fields of the file and before what is in their lists.
#[derive(Default)]
struct Lines {
    depth: usize,
}

impl Lines {
    fn begin_item<W: ?Sized + Write>(&self, writer: &mut W, first: bool, on_lines: bool) -> io::Result<()> {
        writer.write_all(match (first, on_lines) {
            (true, false) => b"",
            (true, true) => b"\n",
            (false, false) => b",",
            (false, true) => b",\n",
        })
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(writer, first, self.depth == 2)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(if self.depth == 0 { b"\n}\n" } else { b"}" })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(writer, first, self.depth == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(id: u64) -> Annotation {
        let runs = Runs { size: [3, 4], counts: Counts::Compressed("353L".into()) };
        let segmentation = Segmentation::Runs(runs);
        Annotation { id, image_id: 1.into(), category_id: 1.into(), segmentation, ..Annotation::default() }
    }

    fn written(annotations: Vec<Result<Annotation, String>>) -> Result<String, String> {
        let category = Category { id: 1.into(), name: "left ventricle".into(), supercategory: "heart".into() };
        let images = [Ok(Image { id: 1.into(), file_name: "a.png".into(), height: 3, width: 4, ..Image::default() })];
        let mut out = Vec::new();
        let done = write(&mut out, "test", &[], &[category], images.into_iter(), annotations.into_iter())?;
        done.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_written_is_read_and_stands_on_lines() {
        let text = written(vec![Ok(mask(1)), Ok(mask(2))]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["{", "\"info\":{\"description\":\"test\"},", "\"licenses\":[],", "\"categories\":[",]);
        assert_eq!(lines[lines.len() - 4], "\"annotations\":[");
        assert!(lines[lines.len() - 2].ends_with("}]") && text.ends_with("}]\n}\n"), "{text}");
        let read: Document = serde_json::from_str(&text).unwrap();
        assert_eq!((read.images.len(), read.categories.len(), read.annotations.len()), (1, 1, 2));
        assert!(matches!(&read.annotations[1].segmentation, Segmentation::Runs(runs) if runs.size == [3, 4]));
        // Fields that are not read may have any type in files of others.
        let other = text.replace("\"license\":0", "\"license\":\"CC0\"").replace("\"area\":0", "\"area\":0.5");
        assert!(other != text && serde_json::from_str::<Document>(&other).is_ok());
    }

    #[test]
    fn an_item_that_cannot_be_had_ends_the_file() {
        assert_eq!(written(vec![Ok(mask(1)), Err("gone".into()), Ok(mask(3))]), Err("gone".into()));
    }
}
