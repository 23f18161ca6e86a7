//! The pickle inside a PyTorch file, read by a machine that can build nothing but a state dict.
//!
//! Nothing is ever executed: of the callables that a pickle may name, three are known here, and each
//! stands for plain data. Any other is refused by its name.
//!
//! # Source
//! CPython, `Lib/pickletools.py` (protocol 2); PyTorch, `torch/serialization.py` and `torch/_utils.py`.

use std::collections::BTreeMap;

/// Most values one pickle may make; a state dict makes about ten a tensor.
const MOST_VALUES: usize = 1 << 20;

/// Why a pickle is no state dict.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It names a callable that weights do not need.
    Global(String),
    /// It is broken, or holds something else.
    Broken(String),
}

/// Where the values of a tensor lie.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// Values of one type, one after another, in an entry of the archive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    /// Name of its class, such as `FloatStorage`.
    pub(super) class: &'static str,
    pub(super) key: String,
    pub(super) count: usize,
}

/// Storages that PyTorch writes. Tensors of all of them may be in a file; only floats can be asked for.
const STORAGES: [&str; 10] = [
    "FloatStorage",
    "DoubleStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
];

#[derive(Debug)]
enum Value {
    None,
    Bool,
    Int(i64),
    Text(String),
    OrderedDict,
    RebuildTensor,
    StorageClass(&'static str),
    Tuple(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Storage(Storage),
    Tensor(View),
}

/// Reads the tensors of a state dict.
pub(super) fn state_dict(pickle: &[u8]) -> Result<BTreeMap<String, View>, Refusal> {
    let mut machine = Machine { rest: pickle, ..Machine::default() };
    let top = machine.run()?;
    let Value::Dict(items) = &machine.values[top] else {
        return Err(broken("it holds no dictionary of tensors"));
    };
    let mut tensors = BTreeMap::new();
    for &(key, value) in items {
        let Value::Text(name) = &machine.values[key] else {
            return Err(broken("a name in its dictionary is no text"));
        };
        let Value::Tensor(view) = &machine.values[value] else {
            return Err(Refusal::Broken(format!("its entry `{name}` is no tensor")));
        };
        if tensors.insert(name.clone(), view.clone()).is_some() {
            return Err(Refusal::Broken(format!("it holds two tensors `{name}`")));
        }
    }
    Ok(tensors)
}

/// The stack machine of the pickle protocol. Values lie in one flat list and refer to each other by
/// number, so that no nesting can overflow the stack of the program.
#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, usize>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<usize, Refusal> {
        if self.bytes(2)? != [0x80, 2] {
            return Err(broken("it is not of protocol 2, which torch.save writes"));
        }
        loop {
            let code = self.bytes(1)?[0];
            if code == b'.' {
                return self.pop();
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Result<(), Refusal> {
        match code {
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'K' => {
                let value = self.bytes(1)?[0];
                self.push(Value::Int(value.into()))
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            0x8a => self.long(),
            b'X' => self.text(),
            b'c' => self.global(),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => self.short_tuple(usize::from(code - 0x84)),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items))
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items)
            }
            b'q' => {
                let place = self.bytes(1)?[0];
                self.remember(place.into())
            }
            b'r' => {
                let place = u32::from_le_bytes(self.array()?);
                self.remember(place)
            }
            b'h' => {
                let place = self.bytes(1)?[0];
                self.recall(place.into())
            }
            b'j' => {
                let place = u32::from_le_bytes(self.array()?);
                self.recall(place)
            }
            b'Q' => self.storage(),
            b'R' => self.call(),
            b'b' => self.build(),
            _ => Err(Refusal::Broken(format!(
                "it uses the operation {code:#04x}, which no state dict needs"
            ))),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&[u8], Refusal> {
        let Some((first, rest)) = self.rest.split_at_checked(count) else {
            return Err(broken("it is cut short"));
        };
        self.rest = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn line(&mut self) -> Result<String, Refusal> {
        let length = self.rest.iter().position(|&b| b == b'\n');
        let length = length.ok_or_else(|| broken("it is cut short"))?;
        let line = String::from_utf8_lossy(self.bytes(length)?).into_owned();
        self.bytes(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Result<(), Refusal> {
        if self.values.len() >= MOST_VALUES {
            return Err(Refusal::Broken(format!("it makes more than {MOST_VALUES} values")));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<usize, Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(broken("it takes a value from an empty stack"));
        }
        self.stack.pop().ok_or_else(|| broken("it takes a value from an empty stack"))
    }

    fn since_mark(&mut self) -> Result<Vec<usize>, Refusal> {
        let mark = self.marks.pop().ok_or_else(|| broken("it goes back to a mark never set"))?;
        Ok(self.stack.split_off(mark))
    }

    fn short_tuple(&mut self, count: usize) -> Result<(), Refusal> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    /// An integer of up to 8 bytes, little-endian, in two's complement.
    fn long(&mut self) -> Result<(), Refusal> {
        let length = usize::from(self.bytes(1)?[0]);
        if length > 8 {
            return Err(Refusal::Broken(format!("it holds a number of {length} bytes")));
        }
        let bytes = self.bytes(length)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole[..length].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(whole)))
    }

    fn text(&mut self) -> Result<(), Refusal> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let text = String::from_utf8(self.bytes(length)?.to_vec());
        let text = text.map_err(|_| broken("it holds text that is not UTF-8"))?;
        self.push(Value::Text(text))
    }

    fn global(&mut self) -> Result<(), Refusal> {
        let (module, name) = (self.line()?, self.line()?);
        let value = match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => Some(Value::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Value::RebuildTensor),
            ("torch", class) => {
                STORAGES.into_iter().find(|known| *known == class).map(Value::StorageClass)
            }
            _ => None,
        };
        self.push(value.ok_or_else(|| Refusal::Global(format!("{module}.{name}")))?)
    }

    fn set_items(&mut self, items: &[usize]) -> Result<(), Refusal> {
        let top = self.stack.last().copied().filter(|_| items.len().is_multiple_of(2));
        match top.map(|top| &mut self.values[top]) {
            Some(Value::Dict(held)) => {
                held.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err(broken("it sets items of something that has none")),
        }
    }

    fn remember(&mut self, place: u32) -> Result<(), Refusal> {
        let top = self.stack.last().ok_or_else(|| broken("it remembers nothing"))?;
        self.memo.insert(place, *top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), Refusal> {
        let value = self.memo.get(&place).ok_or_else(|| broken("it recalls what it never saw"))?;
        self.stack.push(*value);
        Ok(())
    }

    /// `('storage', class, key, device, count)`.
    fn storage(&mut self) -> Result<(), Refusal> {
        let place = self.pop()?;
        let storage =
            match self.tuple(place).as_deref() {
                Some(
                    [Value::Text(tag), Value::StorageClass(class), Value::Text(key), _, count],
                ) if tag == "storage" => Storage { class, key: key.clone(), count: size(count)? },
                _ => return Err(broken("it refers to something that is no storage")),
            };
        self.push(Value::Storage(storage))
    }

    fn call(&mut self) -> Result<(), Refusal> {
        let (given, callable) = (self.pop()?, self.pop()?);
        let given = self.tuple(given).ok_or_else(|| broken("it calls without arguments"))?;
        let made = match (&self.values[callable], given.as_slice()) {
            (Value::OrderedDict, []) => Value::Dict(Vec::new()),
            (Value::RebuildTensor, [Value::Storage(storage), offset, shape, stride, ..]) => {
                Value::Tensor(View {
                    storage: storage.clone(),
                    offset: size(offset)?,
                    shape: self.sizes(shape)?,
                    stride: self.sizes(stride)?,
                })
            }
            _ => return Err(broken("it calls something with the wrong arguments")),
        };
        self.push(made)
    }

    /// Attributes of a dictionary (versions of layers) are of no use here.
    fn build(&mut self) -> Result<(), Refusal> {
        self.pop()?;
        match self.stack.last().map(|&top| &self.values[top]) {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err(broken("it builds an object")),
        }
    }

    fn tuple(&self, place: usize) -> Option<Vec<&Value>> {
        match &self.values[place] {
            Value::Tuple(items) if items.len() <= 8 => {
                Some(items.iter().map(|&item| &self.values[item]).collect())
            }
            _ => None,
        }
    }

    fn sizes(&self, value: &Value) -> Result<Vec<usize>, Refusal> {
        match value {
            Value::Tuple(items) if items.len() <= 8 => {
                items.iter().map(|&item| size(&self.values[item])).collect()
            }
            _ => Err(broken("a shape is no tuple of up to eight sizes")),
        }
    }
}

fn size(value: &Value) -> Result<usize, Refusal> {
    match value {
        Value::Int(size) => usize::try_from(*size)
            .map_err(|_| Refusal::Broken(format!("{size} is no size of a tensor"))),
        _ => Err(broken("a size is no number")),
    }
}

fn broken(reason: &str) -> Refusal {
    Refusal::Broken(reason.into())
}
