//! What checking a payload against a schema costs at most, told from the schema alone.
//!
//! A payload's size is its values and its texts ([`size_of`]). The weight is so many steps that
//! `weight × size` is never exceeded. It is found like this, for each subschema S:
//!
//! - `here`: steps per unit of the value that S is applied to, not looking inside it. What S says
//!   itself, and all of that for whatever else it applies to the same value (`allOf`, `$ref`, …).
//! - `below`: steps per unit of what is inside that value. `properties` sends each part of it to
//!   one subschema, so the heaviest counts; `patternProperties`, `contains` and several members of
//!   an `allOf` look at the same parts, so they add up. `uniqueItems` looks at all that is inside,
//!   however deep, and that adds up with each list around it.
//!
//! Subschemas may refer to each other, so this is the least solution of equations, found by
//! repetition. A tree (`children: {items: {$ref: "#"}}`) has one: each level is looked at once. A
//! schema that looks twice at a part by itself has none, because each level doubles the steps; nor
//! has one that applies itself to the same value, which would never end, or one that refers to
//! itself within `uniqueItems`, because each level is read again by all levels around it.
//!
//! All of that holds only if a reference leads here to the same place as it leads the validator. A
//! `$id` below the top would change that, whether or not anything is applied there, so there is none
//! ([`refuse_embedded`]).

use std::collections::HashMap;
use std::ptr;

use serde_json::{Map, Value};

use super::{MAX_PATTERNS, SchemaError};
use crate::work;

/// The heaviest schema; it still leaves room for payloads of some 64 KiB.
const MAX_WEIGHT: u64 = 4_096;
/// The most subschemas that are applied to one value by way of each other.
const MAX_LEVELS: usize = 16;
/// The most parts that are referred to, and how deep they may nest altogether, in levels of JSON:
/// compiling is recursive.
const MAX_TARGETS: usize = 128;
const MAX_NESTING: usize = 512;
/// Schemas without a cycle are solved by far fewer.
const MAX_ROUNDS: usize = 64;
/// What a pattern costs for each unit of text.
const PATTERN: u64 = 128;
/// What `uniqueItems` costs for each unit of a list: short lists are compared item by item, of which
/// fifteen count as short, and long ones are hashed.
const UNIQUE: u64 = 16;

/// What a schema costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Steps for each unit of a payload.
    pub(super) weight: u64,
    /// How many subschemas are applied to one value by way of each other, at most.
    pub(super) levels: usize,
}

/// How much there is to look at in `value`.
pub(super) fn size_of(value: &Value) -> u64 {
    work::size_of(value) as u64
}

/// How deep `value` nests; 1 for one without parts.
pub(crate) fn depth_of(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(fields) => fields.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

/// What `schema` costs, if that has a bound.
pub(super) fn of(schema: &Value) -> Result<Cost, SchemaError> {
    refuse_embedded(schema)?;
    let graph = Graph::of(schema)?;
    let solutions = graph.solve()?;
    let levels = solutions.iter().map(|solution| solution.levels).max().unwrap_or(1);
    Ok(Cost { weight: solutions[0].here.max(solutions[0].below), levels })
}

/// Refuses a `$id` or `$schema` anywhere below the top, even in a `const`: a pointer might lead
/// there.
fn refuse_embedded(schema: &Value) -> Result<(), SchemaError> {
    let mut parts: Vec<&Value> = parts_of(schema).collect();
    while let Some(part) = parts.pop() {
        if ["$id", "$schema"].iter().any(|name| part.get(name).is_some_and(Value::is_string)) {
            return Err(SchemaError::Embedded);
        }
        parts.extend(parts_of(part));
    }
    Ok(())
}

fn parts_of(value: &Value) -> impl Iterator<Item = &Value> {
    let items = value.as_array().into_iter().flatten();
    items.chain(value.as_object().into_iter().flat_map(Map::values))
}

/// A subschema, its parts by their index in the graph.
struct Node<P> {
    own: u64,
    /// Its patterns, each of which is compiled by itself.
    patterns: usize,
    /// Applied to the same value.
    beside: Vec<P>,
    /// Applied to what is in an object, and in an array.
    in_object: Inside<P>,
    in_array: Inside<P>,
}

/// What is applied to the parts of a value.
struct Inside<P> {
    /// Each part goes to one of these at most.
    either: Vec<P>,
    /// Each part may go to all of these.
    all: Vec<P>,
    /// What it costs to tell which.
    telling: u64,
    /// What looking at everything inside costs, however deep.
    reading: u64,
}

impl<P> Default for Inside<P> {
    fn default() -> Self {
        Self { either: Vec::new(), all: Vec::new(), telling: 0, reading: 0 }
    }
}

impl<P> Inside<P> {
    fn map<Q>(self, mut f: impl FnMut(P) -> Q) -> Inside<Q> {
        Inside {
            either: self.either.into_iter().map(&mut f).collect(),
            all: self.all.into_iter().map(&mut f).collect(),
            telling: self.telling,
            reading: self.reading,
        }
    }
}

/// All subschemas that are ever applied; the root is the first.
struct Graph {
    nodes: Vec<Node<usize>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Solution {
    here: u64,
    below: u64,
    levels: usize,
}

impl Graph {
    fn of(root: &Value) -> Result<Self, SchemaError> {
        let mut found = vec![root];
        let mut index_of = HashMap::from([(ptr::from_ref(root), 0)]);
        let mut targets = HashMap::new();
        let mut nodes = Vec::new();
        while let Some(&schema) = found.get(nodes.len()) {
            let node = node_of(schema, root, &mut targets)?;
            let mut index = |part| {
                *index_of.entry(ptr::from_ref(part)).or_insert_with(|| {
                    found.push(part);
                    found.len() - 1
                })
            };
            nodes.push(Node {
                own: node.own,
                patterns: node.patterns,
                beside: node.beside.into_iter().map(&mut index).collect(),
                in_object: node.in_object.map(&mut index),
                in_array: node.in_array.map(&mut index),
            });
        }
        if nodes.iter().map(|node| node.patterns).sum::<usize>() > MAX_PATTERNS {
            return Err(SchemaError::TooManyPatterns);
        }
        let nesting = depth_of(root) + targets.values().sum::<usize>();
        if nesting > MAX_NESTING { Err(SchemaError::TooDeep) } else { Ok(Self { nodes }) }
    }

    fn solve(&self) -> Result<Vec<Solution>, SchemaError> {
        let mut solutions = vec![Solution::default(); self.nodes.len()];
        for _round in 0..MAX_ROUNDS {
            let mut is_stable = true;
            // Parts come after the whole, so most are solved before it.
            for (index, node) in self.nodes.iter().enumerate().rev() {
                let solution = node.solve(&solutions);
                if solution.levels > MAX_LEVELS {
                    return Err(SchemaError::TooDeep);
                }
                if solution.here.max(solution.below) > MAX_WEIGHT {
                    return Err(SchemaError::TooCostly);
                }
                is_stable &= solution == solutions[index];
                solutions[index] = solution;
            }
            if is_stable {
                return Ok(solutions);
            }
        }
        Err(SchemaError::TooCostly)
    }
}

impl Node<usize> {
    fn solve(&self, solutions: &[Solution]) -> Solution {
        let mut solution = Solution {
            here: self.own,
            below: self.in_object.solve(solutions).max(self.in_array.solve(solutions)),
            levels: 1,
        };
        for part in self.beside.iter().map(|&part| solutions[part]) {
            solution.here += part.here;
            solution.below += part.below;
            solution.levels = solution.levels.max(part.levels + 1);
        }
        solution
    }
}

impl Inside<usize> {
    fn solve(&self, solutions: &[Solution]) -> u64 {
        let weight = |&part: &usize| solutions[part].here.max(solutions[part].below);
        let either = self.either.iter().map(weight).max().unwrap_or(0);
        either + self.all.iter().map(weight).sum::<u64>() + self.telling + self.reading
    }
}

fn node_of<'s>(
    schema: &'s Value,
    root: &'s Value,
    targets: &mut HashMap<*const Value, usize>,
) -> Result<Node<&'s Value>, SchemaError> {
    let (in_object, in_array) = (Inside::default(), Inside::default());
    let mut node = Node { own: 1, patterns: 0, beside: Vec::new(), in_object, in_array };
    // Anything else is `true` or `false`, or no schema, which the compiler says.
    let Value::Object(keywords) = schema else { return Ok(node) };
    for (keyword, value) in keywords {
        match keyword.as_str() {
            "$schema" if ptr::eq(schema, root) => {}
            "$id" | "$schema" => return Err(SchemaError::Embedded),
            "$ref" => node.beside.extend(target_of(value, root, targets)?),
            "allOf" | "anyOf" | "oneOf" => {
                node.beside.extend(value.as_array().into_iter().flatten());
            }
            "not" | "if" | "then" | "else" => node.beside.push(value),
            "dependentSchemas" | "dependencies" => {
                for (_, dependent) in fields_of(value) {
                    node.own += size_of_list(dependent);
                    node.beside.push(dependent);
                }
            }
            "properties" => {
                node.own += fields_of(value).len() as u64;
                node.in_object.either.extend(fields_of(value).into_iter().map(|(_, part)| part));
            }
            "additionalProperties" => node.in_object.either.push(value),
            "patternProperties" => {
                node.patterns += fields_of(value).len();
                node.in_object.telling += PATTERN * fields_of(value).len() as u64;
                node.in_object.all.extend(fields_of(value).into_iter().map(|(_, part)| part));
            }
            "propertyNames" => node.in_object.all.push(value),
            "prefixItems" => node.in_array.either.extend(value.as_array().into_iter().flatten()),
            "items" => match value {
                Value::Array(items) => node.in_array.either.extend(items),
                item => node.in_array.either.push(item),
            },
            "additionalItems" => node.in_array.either.push(value),
            "contains" => node.in_array.all.push(value),
            "pattern" => {
                node.patterns += 1;
                node.own += PATTERN;
            }
            "uniqueItems" => {
                node.own += UNIQUE;
                node.in_array.reading += UNIQUE;
            }
            "unevaluatedItems" => return Err(refused("unevaluatedItems")),
            "unevaluatedProperties" => return Err(refused("unevaluatedProperties")),
            "$dynamicRef" => return Err(refused("$dynamicRef")),
            "$recursiveRef" => return Err(refused("$recursiveRef")),
            "$defs" | "definitions" | "$comment" | "title" | "description" | "default"
            | "examples" => {}
            // `enum`, `const` and `required` are compared with, the rest is small.
            _ => node.own += size_of(value),
        }
    }
    Ok(node)
}

fn refused(keyword: &'static str) -> SchemaError {
    SchemaError::Keyword { keyword }
}

fn fields_of(value: &Value) -> Vec<(&String, &Value)> {
    value.as_object().map(Map::iter).into_iter().flatten().collect()
}

/// `dependencies` may be names instead of a schema.
fn size_of_list(value: &Value) -> u64 {
    if value.is_array() { size_of(value) } else { 1 }
}

/// The part of `root` that a `$ref` names, with how deep it nests noted in `targets`.
fn target_of<'s>(
    reference: &Value,
    root: &'s Value,
    targets: &mut HashMap<*const Value, usize>,
) -> Result<Option<&'s Value>, SchemaError> {
    let Some(reference) = reference.as_str() else { return Ok(None) };
    let refuse = || SchemaError::Reference(reference.chars().take(128).collect());
    let pointer = reference.strip_prefix('#').ok_or_else(refuse)?;
    let pointer = percent_decoded(pointer).ok_or_else(refuse)?;
    let target = root.pointer(&pointer).ok_or_else(refuse)?;
    if targets.len() == MAX_TARGETS && !targets.contains_key(&ptr::from_ref(target)) {
        return Err(SchemaError::TooDeep);
    }
    targets.entry(ptr::from_ref(target)).or_insert_with(|| depth_of(target));
    Ok(Some(target))
}

fn percent_decoded(pointer: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        bytes.extend(hex::decode(after.get(..2)?).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}
