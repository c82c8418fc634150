//! The data model of a spec: the keys of its TOML file. Every key is documented here; unknown keys are errors.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::taxonomy;
use crate::digest::{canonical_json, sha256};
use crate::named;

/// A source's spec.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Short name: letters, digits and dashes. First part of every id.
    pub slug: String,
    /// Full name.
    pub name: String,
    /// One or two sentences: what was imaged, for what.
    #[serde(default)]
    pub description: String,
    /// Home page.
    #[serde(default)]
    pub home: String,
    /// Archives as they are downloaded, as text a user can compare with the download page.
    #[serde(default)]
    pub archives: Vec<String>,
    /// Terms of use.
    pub licence: Licence,
    /// BibTeX entries.
    #[serde(default)]
    pub citation: String,
    /// Releases known, the newest first: the first whose evidence is all there names the release. Several may share a
    /// name, where a release is told in more than one way.
    pub release: Vec<Release>,
    /// The tree that is expected, drawn for people.
    #[serde(default)]
    pub tree: String,
    /// Peculiarities that are handled, one sentence each.
    #[serde(default)]
    pub quirks: Vec<String>,
    /// Statements in this spec that nobody has checked against real files or the authors' own words.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// Other sources that hold the same patients or images.
    #[serde(default)]
    pub overlaps: Vec<Overlap>,
    /// Counts of a complete download.
    #[serde(default)]
    pub expected: Vec<Expected>,
    /// Match file names without regard to case.
    #[serde(default)]
    pub ignore_case: bool,
    /// Objects that this source has and the taxonomy has not.
    #[serde(default)]
    pub object: Vec<OwnName>,
    /// Modalities that this source has and the taxonomy has not.
    #[serde(default)]
    pub modality: Vec<OwnName>,
    /// Sequence → modality (one of the eighteen of the taxonomy, or one of `modality`).
    #[serde(default)]
    pub sequences: BTreeMap<String, String>,
    /// Label tables by name: label value → what it is.
    #[serde(default)]
    pub labels: BTreeMap<String, LabelTable>,
    /// One of the paper's 53 sources; false for all others.
    #[serde(default)]
    pub part_of_study: bool,
    /// Where cases are found. A case is claimed by the first layout that matches its image.
    #[serde(default)]
    pub layout: Vec<Layout>,
    /// Files of the download that are known to be damaged or wrong.
    #[serde(default)]
    pub known_bad: Vec<KnownBad>,
    /// Files that are known and not used, with the reason. Looked at before any layout, unless it says `last`.
    #[serde(default)]
    pub skip: Vec<Skip>,
}

/// The numbers that a key of a table stands for: one (`"7"`), or an inclusive range (`"55-70"`). `None` where the key
/// is neither.
pub(crate) fn number_range(key: &str) -> Option<RangeInclusive<i64>> {
    if let Ok(value) = key.parse() {
        return Some(value..=value);
    }
    let (low, high) = key.split_once('-')?;
    Some(low.parse().ok()?..=high.parse().ok()?)
}

impl Spec {
    /// SHA-256 of all that the spec says, however its file is written; hexadecimal.
    pub fn digest(&self) -> String {
        sha256(canonical_json(self).as_bytes())
    }

    /// Objects that labels may name: those of the taxonomy, then the spec's own.
    pub(crate) fn object_names(&self) -> impl Iterator<Item = &str> {
        let common = taxonomy().object.iter().map(|object| object.name.as_str());
        common.chain(self.object.iter().map(|object| object.name.as_str()))
    }

    /// Modalities that sequences may name: those of the taxonomy, then the spec's own.
    pub(crate) fn modality_names(&self) -> impl Iterator<Item = &str> {
        let common = taxonomy().modalities.iter().map(String::as_str);
        common.chain(self.modality.iter().map(|modality| modality.name.as_str()))
    }

    /// Object and modality of every mask that the layouts can give.
    pub fn targets(&self) -> Vec<(&str, &str)> {
        let mut targets = Vec::new();
        for layout in &self.layout {
            let fixed = [layout.image.sequence.clone()];
            let sequences = if layout.image.channels.is_empty() { &fixed[..] } else { &layout.image.channels[..] };
            // A sequence that is captured may be any of the table.
            let modalities: Vec<&str> = match sequences {
                [one] if one.contains('{') => {
                    let pattern: Vec<&str> = one.split(['{', '}']).step_by(2).collect();
                    let fits = |name: &&String| pattern.iter().all(|piece| name.contains(piece));
                    self.sequences.iter().filter(|(name, _)| fits(name)).map(|(_, m)| m.as_str()).collect()
                }
                names => names.iter().filter_map(|n| self.sequences.get(n)).map(String::as_str).collect(),
            };
            for mask in &layout.mask {
                let table = mask.labels.iter().filter_map(|name| self.labels.get(name)).flat_map(|t| t.values());
                for label in table.chain(mask.label.as_ref()) {
                    targets.extend(modalities.iter().map(|modality| (label.object.as_str(), *modality)));
                }
            }
        }
        targets
    }
}

/// An object or a modality that a spec defines, in addition to those of the protocol.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnName {
    /// Its name, as the tables will have it.
    pub name: String,
    /// What it is, in a sentence.
    #[serde(default)]
    pub description: String,
}

/// Terms of use.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX identifier, or `LicenseRef-…` with `terms` as text.
    pub id: String,
    /// What a user must know, as text.
    #[serde(default)]
    pub terms: String,
    /// Whether slices and masks made from the download may be redistributed.
    pub share_derived: Sharing,
}

/// Whether derived data may be redistributed. The strictest comes last.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// Yes, with attribution at most.
    Yes,
    /// Under the same licence or for non-commercial purposes only.
    Conditions,
    /// The terms do not say, or could not be read.
    Unknown,
    /// No.
    No,
}

impl Sharing {
    /// All of them.
    pub const ALL: [Sharing; 4] = [Sharing::Yes, Sharing::Conditions, Sharing::Unknown, Sharing::No];

    /// The word that specs and tables have for it.
    pub fn text(self) -> &'static str {
        match self {
            Sharing::Yes => "yes",
            Sharing::Conditions => "conditions",
            Sharing::Unknown => "unknown",
            Sharing::No => "no",
        }
    }
}

/// A release and what proves its presence.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Name or year.
    pub name: String,
    /// Patterns; each must match at least one member of the tree.
    pub evidence: Vec<String>,
    /// What sets this release apart.
    #[serde(default)]
    pub note: String,
}

/// An overlap with another source.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// The other source's slug.
    pub source: String,
    /// What is shared.
    pub note: String,
    /// Where the names of patients tell who is who: a pattern of the patients of this source, and the same patient's
    /// name in the other one, made of what the pattern captures (`["case_{n}", "case_{n}"]`). Without it only pixels
    /// tell.
    #[serde(default)]
    pub patients: Option<[String; 2]>,
}

/// A count of a complete download. Of those that hold for a release, each must be met.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Release the count holds for; all of them where absent.
    #[serde(default)]
    pub release: Option<String>,
    /// Layout counted; all of them where absent.
    #[serde(default)]
    pub layout: Option<String>,
    /// The layout is a download of its own, which may be left out: nothing of it is missing where nothing of it is
    /// there.
    #[serde(default)]
    pub separate: bool,
    /// Number of labelled cases (one image with its masks, as the `cases` table counts them).
    pub cases: u32,
    /// Where the count comes from.
    pub origin: String,
}

/// Label value → label, in one table. Keys are integers (`"1"`), inclusive ranges (`"55-70"`), colours (`"#ff0000"`)
/// or, for tables keyed by a captured text, that text.
pub type LabelTable = BTreeMap<String, Label>;

/// What a label value stands for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The source's own name, made readable; part of the mask's id.
    pub name: String,
    /// The taxonomy's object.
    pub object: String,
    /// `left` or `right` of the patient, where the label says so.
    #[serde(default)]
    pub laterality: Option<String>,
    /// Why masks of this label are marked `excluded` (docs/protocol.md, 2.7); the rows are built anyway.
    #[serde(default)]
    pub exclude: Option<String>,
}

/// A file that is not used.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// Pattern.
    pub path: String,
    /// Why, in a sentence that will be shown next to each such file.
    pub reason: String,
    /// Looked at after all layouts, so only for files that nothing else accounts for.
    #[serde(default)]
    pub last: bool,
}

/// A file that is known to be damaged or wrong as it is distributed. Its case is read anyway, since another
/// release may have mended it; where that fails, the message says that it is known.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownBad {
    /// Pattern.
    pub path: String,
    /// What is wrong with it, in a sentence.
    pub note: String,
}

/// One kind of case: where its image lies, where its masks lie, and how they belong together. Images and masks are
/// joined by the captures that their patterns share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Name of the layout, for messages and counts.
    pub name: String,
    /// Template of the case id, without the source; made of captures of the image.
    pub case: String,
    /// Template of the patient id. The case id where absent.
    #[serde(default)]
    pub patient: Option<String>,
    /// Patient as found → as written to the tables, where the names of files only imply it. A key may be an inclusive
    /// range of numbers: `"26-50" = "sequence 2"`.
    #[serde(default)]
    pub patient_names: BTreeMap<String, String>,
    /// Template of the split; `train`, `validation`, `test` where the source has an official one.
    #[serde(default)]
    pub split: Option<String>,
    /// Split names as found → as written to the tables (`training = "train"`, or `"1-170" = "train"` for numbers).
    #[serde(default)]
    pub split_names: BTreeMap<String, String>,
    /// Images and masks are distributed apart, under names that are unique in the source: they join wherever they lie,
    /// except for folders that hold both.
    #[serde(default)]
    pub anywhere: bool,
    /// The image.
    pub image: ImagePart,
    /// Its masks.
    pub mask: Vec<MaskPart>,
    /// Files that say of many cases what their own names do not.
    #[serde(default)]
    pub list: Vec<ListPart>,
}

/// A list or table of the download that says to which split or patient a case belongs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListPart {
    /// Patterns of the files; all that there are count.
    pub path: Vec<String>,
    /// The file is a `dataset.json` as the Medical Segmentation Decathlon and nnU-Net write it: what it calls labels
    /// and modalities must not contradict the spec's tables. It says nothing else, and the other keys are not for it.
    #[serde(default)]
    pub names: bool,
    /// Template of the image's captures: the text by which the list names the case.
    #[serde(default)]
    pub key: String,
    /// Column that holds this text, under the name that the first line gives it; of several names the first that is
    /// there counts. Without it the file is a plain list: one text a line, and nothing else.
    #[serde(default)]
    pub key_column: Vec<String>,
    /// Split of all that the list names: a template of the captures of its own path.
    #[serde(default)]
    pub split: Option<String>,
    /// Column of the split, by its name.
    #[serde(default)]
    pub split_column: Option<String>,
    /// Column of the patient, by its name.
    #[serde(default)]
    pub patient_column: Option<String>,
}

/// Where the image of a case lies and how it is cut into slices.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePart {
    /// Patterns, the preferred first: a case that is found by several is built from the first.
    pub path: Vec<String>,
    /// Template of the sequence name, looked up in the spec's `sequences` for the modality.
    pub sequence: String,
    /// Capture that numbers the files of one image: files that differ in nothing else are stacked.
    #[serde(default)]
    pub stack: Option<String>,
    /// Order of stacked files.
    #[serde(default)]
    pub order: Order,
    /// What the fourth axis holds.
    #[serde(default)]
    pub fourth_axis: FourthAxis,
    /// Sequences along the fourth axis, in order, where `fourth_axis = "sequences"`.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Plane of the slices.
    #[serde(default)]
    pub plane: Plane,
    /// Several planes, in place of `plane`: slices are cut along each of them.
    #[serde(default)]
    pub planes: Vec<Plane>,
    /// What the plane is called, where the header cannot be believed (see `header`) or has no word for it.
    #[serde(default)]
    pub plane_name: Option<PlaneName>,
    /// How stored values become 0–255.
    #[serde(default)]
    pub intensity: Intensity,
    /// What of the header's frame is true.
    #[serde(default)]
    pub header: HeaderTrust,
    /// Millimetres along x, y, z of the file, for containers that cannot say it.
    #[serde(default)]
    pub spacing_mm: Option<[f64; 3]>,
}

/// Which part of the frame in an image's header is correct. Incorrect parts are dropped: they determine neither plane
/// nor spacing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderTrust {
    /// All of it.
    #[default]
    #[serde(rename = "true")]
    Full,
    /// Only the spacing: a converter filled in the directions.
    SpacingOnly,
    /// Nothing.
    #[serde(rename = "false")]
    None,
}

/// Order of the files of a stack.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// DICOM slices by position where all have one, other files by name.
    #[default]
    Auto,
    /// DICOM position along the slice normal, ascending.
    Position,
    /// File name, numbers compared as numbers.
    Name,
    /// DICOM InstanceNumber.
    InstanceNumber,
}

/// What the fourth axis of an image holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum FourthAxis {
    /// There is none; a fourth axis longer than one is an error.
    #[default]
    None,
    /// Time: the masks have it too, frame by frame; frames without any label are skipped.
    Frames,
    /// One sequence each, named in `channels`; all share the masks. Of a file of three axes it is the third one, if
    /// that has as many steps as there are channels: a single slice in several sequences.
    Sequences,
}

named! {
    /// Plane of the slices: the file axis that is cut across.
    #[derive(Default)]
    pub enum Plane("plane") {
        /// Across the axis with the largest spacing, the third where spacings are equal (docs/protocol.md, 2.1).
        #[default]
        Native = "native",
        /// Across the first file axis.
        X = "x",
        /// Across the second file axis.
        Y = "y",
        /// Across the third file axis.
        Z = "z",
        /// Across the axis closest to superior–inferior, by the affine.
        Axial = "axial",
        /// Across the axis closest to anterior–posterior, by the affine.
        Coronal = "coronal",
        /// Across the axis closest to left–right, by the affine.
        Sagittal = "sagittal",
    }
}

/// Name of a plane.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum PlaneName {
    /// Slices from feet to head, or back.
    Axial,
    /// Slices from front to back, or back.
    Coronal,
    /// Slices from side to side.
    Sagittal,
    /// Across the long axis of the heart, from its base to its apex: oblique in the body.
    #[serde(rename = "short axis")]
    ShortAxis,
}

impl PlaneName {
    /// As the tables have it.
    pub fn text(self) -> &'static str {
        match self {
            PlaneName::Axial => "axial",
            PlaneName::Coronal => "coronal",
            PlaneName::Sagittal => "sagittal",
            PlaneName::ShortAxis => "short axis",
        }
    }
}

/// How stored values become 8 bits.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Intensity {
    /// Grey: each slice's minimum to maximum (docs/protocol.md, 2.3). Colour of 8 bits: as stored.
    #[default]
    Auto,
    /// Each slice's minimum to maximum.
    Slice,
    /// The volume's minimum to maximum.
    Volume,
    /// Percentiles of the volume, clipped.
    Percentile {
        /// Lower, 0–100.
        low: f64,
        /// Upper, 0–100.
        high: f64,
    },
    /// Fixed range of real values (Hounsfield units for CT), clipped.
    Window {
        /// Becomes 0.
        low: f64,
        /// Becomes 255.
        high: f64,
    },
    /// 8-bit values as stored.
    Stored,
}

/// Where masks of a case lie and what their values mean.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MaskPart {
    /// Patterns, the preferred first. Captures that the image does not have may number several masks (see
    /// `label_from`, `rater`).
    pub path: Vec<String>,
    /// How values are read.
    #[serde(default)]
    pub decode: Decode,
    /// Label table of a map of values or colours, or of `label_from`.
    #[serde(default)]
    pub labels: Option<String>,
    /// The one label of a binary mask or of instances.
    #[serde(default)]
    pub label: Option<Label>,
    /// Capture whose text is the key in `labels` (one class a file).
    #[serde(default)]
    pub label_from: Option<String>,
    /// Capture that says the side of the patient: a text that begins with L or R, in either case.
    #[serde(default)]
    pub laterality_from: Option<String>,
    /// Capture that numbers the files of one mask, as the image's.
    #[serde(default)]
    pub stack: Option<String>,
    /// Order of stacked files.
    #[serde(default)]
    pub order: Order,
    /// What becomes of values or colours that `labels` does not have.
    #[serde(default)]
    pub other_labels: OtherLabels,
    /// How mask voxels find their image voxels.
    #[serde(default)]
    pub pair: Pair,
    /// Why the headers of this source are not to be believed, where `pair = "index"`.
    #[serde(default)]
    pub pair_reason: Option<String>,
    /// Template of the rater's name.
    #[serde(default)]
    pub rater: Option<String>,
    /// Place of this rater: 0 is the one used by default. Raters captured in file names count up from here.
    #[serde(default)]
    pub rater_rank: u32,
    /// What it means that a case has no such file.
    #[serde(default)]
    pub absent: Absent,
}

/// How the values of a mask file become objects.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Decode {
    /// Integer labels, looked up in `labels`; 0 is background. Stored floats within 0.01 of an integer are rounded.
    #[default]
    Values,
    /// What looks white is the one `label`: the brighter of two values, the one colour besides black, or what alone is
    /// opaque. Values that do not say which they are, are refused.
    Binary {
        /// Values above it are the object; where absent, those above the middle between background and object.
        #[serde(default)]
        above: Option<f64>,
        /// The object is everything at or below the threshold.
        #[serde(default)]
        inverted: bool,
    },
    /// Palette or RGB colours, looked up in `labels` as `#rrggbb`; black is background unless the table says otherwise.
    Colours,
    /// One channel of a colour picture, or one layer of a file of several, above a threshold.
    Channel {
        /// 0 red, 1 green, 2 blue, 3 opacity; or the number of the layer, from 0.
        channel: usize,
        /// Values above it are the object.
        above: f64,
    },
    /// Every positive value is one instance of the `label`.
    Instances,
    /// A container that names its masks (DICOM segmentation or structure set, `.seg.nrrd`): each segment is a mask of
    /// its own, placed by its own frames or contours, and `labels` has the segments' names as keys. A key is the
    /// segment's name, else one of its coded terms: the type's meaning with its modifier (`Left Kidney`), the meaning
    /// alone, `SCHEME:VALUE`. Case, blanks at the ends and `_` for a blank make no difference.
    Segments,
    /// No picture: a row of a CSV table that all images share holds the runs of the one `label`, column by column, each
    /// start counted from the end of the run before it (SIIM-ACR). `-1` says that the object does not occur; several
    /// rows of one image are united; an image without a row is not labelled.
    RleTable {
        /// Template of the image's captures: what stands in the column `id`.
        row: String,
        /// Names of the column that names the image; the first that the table has counts.
        id: Vec<String>,
        /// Names of the column of runs, likewise.
        runs: Vec<String>,
    },
}

/// What becomes of values or colours that the label table does not have.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum OtherLabels {
    /// The case fails, with the first of them.
    #[default]
    Refuse,
    /// They are background; a note of the case counts them.
    Ignore,
}

/// How mask voxels find their image voxels.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Pair {
    /// The same grid, in whatever order the two files store it; slices of stacks by name or position. Another grid is
    /// an error; where a header does not say where its voxels lie they pair by index, and the case says so.
    #[default]
    Grid,
    /// Slices at the same DICOM position. The mask may have more or fewer slices; image slices without one are
    /// unlabelled.
    Position,
    /// Same place in the patient, by the headers of both: each image voxel gets the value of the nearest mask voxel.
    /// The mask may be turned, cropped, finer or coarser.
    Space,
    /// By index, whatever the headers say: for a source whose headers are known to lie. Needs `pair_reason`.
    Index,
}

/// What it means that a mask file is not there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// The case is not labelled, or the download is not complete: it is skipped, and named.
    #[default]
    Unlabelled,
    /// The object does not occur in the image.
    Empty,
    /// Nobody has looked for the object: it says nothing about the image.
    NotAnnotated,
}
