//! `fixtures/torch/*` were written by PyTorch 2.11 (`make.py` there); hostile archives are put together
//! here. `verify/tests/peers.rs` reads real files.

use super::archive::crc32;
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/torch/", $name)).to_vec()
    };
}

fn refusal(bytes: Vec<u8>) -> String {
    TorchFile::parse(bytes).expect_err("it must be refused").to_string()
}

/// What is wrong with the tensor `weight` of shape `[2, 3]`.
fn wrong(bytes: Vec<u8>) -> String {
    let file = TorchFile::parse(bytes).expect("its list can be read");
    file.tensor("weight", &[2, 3]).expect_err("the tensor must be refused")
}

/// Expected values: `make.py`.
#[test]
fn tensors_come_out_as_pytorch_put_them_in() {
    let file = TorchFile::parse(fixture!("sound.pt")).unwrap();
    assert_eq!(file.names(), ["bias", "count", "row", "tied", "weight"]);
    let even = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25];
    assert_eq!(file.tensor("weight", &[2, 3]).unwrap(), even);
    assert_eq!(file.tensor("tied", &[2, 3]).unwrap(), even, "two tensors of one storage");
    assert_eq!(file.tensor("row", &[3]).unwrap(), even[3..], "a part of a storage");
    assert_eq!(file.tensor("bias", &[3]).unwrap(), [-1.5, 2.0, 1e-3]);
}

#[test]
fn a_tensor_of_another_kind_is_refused_by_name() {
    let file = TorchFile::parse(fixture!("sound.pt")).unwrap();
    let ask = |name: &str, shape: &[usize]| file.tensor(name, shape).unwrap_err();
    insta::assert_snapshot!(ask("absent", &[3]), @"tensor `absent` is missing");
    insta::assert_snapshot!(
        ask("bias", &[3, 1]),
        @"tensor `bias` is FloatStorage [3], expected FloatStorage [3, 1]"
    );
    insta::assert_snapshot!(
        ask("count", &[]),
        @"tensor `count` is LongStorage [], expected FloatStorage []"
    );
    insta::assert_snapshot!(
        wrong(fixture!("half.pt")),
        @"tensor `weight` is HalfStorage [2, 3], expected FloatStorage [2, 3]"
    );
    insta::assert_snapshot!(wrong(fixture!("nan.pt")), @"tensor `weight` holds NaN at place 0");
    let turned = TorchFile::parse(fixture!("turned.pt")).unwrap();
    insta::assert_snapshot!(
        turned.tensor("weight", &[3, 2]).unwrap_err(),
        @"tensor `weight` has strides [1, 3]: save it after `.contiguous()`"
    );
}

#[test]
fn whatever_would_run_code_is_refused_by_name() {
    insta::assert_snapshot!(
        refusal(fixture!("stranger.pt")),
        @"it asks for the Python object `posix.system`, which weights do not need and which is never run here; save `model.state_dict()` alone, or as safetensors"
    );
    let module = refusal(fixture!("module.pt"));
    assert!(module.contains("`torch.nn.modules.linear.Linear`"), "{module}");
}

#[test]
fn what_is_no_state_dict_is_refused_with_the_way_out() {
    insta::assert_snapshot!(
        refusal(fixture!("checkpoint.pt")),
        @"its entry `epoch` is no tensor; copy it again, or save `model.state_dict()` again with torch.save"
    );
    for (bytes, says) in [
        (fixture!("old.pt"), "before 1.6"),
        (fixture!("bare.pkl"), "before 1.6"),
        (fixture!("deflated.pt"), "compressed"),
        (b"{\"a\": 1}".to_vec(), "no PyTorch file"),
        (Vec::new(), "no PyTorch file"),
        (b"PK".to_vec(), "cut short"),
    ] {
        let refusal = refusal(bytes);
        assert!(refusal.contains(says), "{says}: {refusal}");
    }
}

/// A reader's answer to a damaged file: none, or the right one.
fn answers_rightly_or_not(bytes: Vec<u8>, sound: &TorchFile) -> bool {
    let Ok(file) = TorchFile::parse(bytes) else { return true };
    let shapes: [(&str, &[usize]); 4] =
        [("bias", &[3]), ("row", &[3]), ("tied", &[2, 3]), ("weight", &[2, 3])];
    shapes.into_iter().all(|(name, shape)| {
        file.tensor(name, shape).is_err() || file.tensor(name, shape) == sound.tensor(name, shape)
    })
}

#[test]
fn a_damaged_file_is_refused_and_never_read_wrongly() {
    let whole = fixture!("sound.pt");
    let sound = TorchFile::parse(whole.clone()).unwrap();
    for length in 0..whole.len() {
        assert!(TorchFile::parse(whole[..length].to_vec()).is_err(), "cut at {length}");
    }
    for place in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[place] ^= flip;
            assert!(answers_rightly_or_not(damaged, &sound), "byte {place} flipped by {flip:#x}");
        }
    }
}

/// A zip archive of these entries, stored, with right checksums.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let sizes = [crc32(data), data.len() as u32, data.len() as u32].map(u32::to_le_bytes);
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        let start = bytes.len() as u32;
        bytes.extend(b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0");
        bytes.extend([&sizes.concat()[..], &lengths, name.as_bytes(), data].concat());
        directory.extend(b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0");
        directory.extend([&sizes.concat()[..], &lengths, &[0; 10]].concat());
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let place = (bytes.len() as u32).to_le_bytes();
    let count = (entries.len() as u16).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    bytes.extend(directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &length, &place].concat());
    bytes.extend([0, 0]);
    bytes
}

/// An archive with this pickle and 24 bytes of values.
fn with_pickle(pickle: &[u8]) -> Vec<u8> {
    archive(&[("a/data.pkl", pickle), ("a/data/0", &[0; 24])])
}

fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn number(number: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &number.to_le_bytes()].concat()
}

fn numbers(numbers: &[i64]) -> Vec<u8> {
    let each: Vec<u8> = numbers.iter().flat_map(|n| number(*n)).collect();
    [b"(", &each[..], b"t"].concat()
}

/// The pickle of one tensor `weight`.
fn tensor(count: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let storage = [
        b"(".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        number(count),
        b"tQ".to_vec(),
    ];
    [
        b"\x80\x02}".to_vec(),
        text("weight"),
        b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(),
        storage.concat(),
        number(offset),
        numbers(shape),
        numbers(stride),
        b"\x89}tRs.".to_vec(),
    ]
    .concat()
}

#[test]
fn absurd_shapes_and_places_are_refused() {
    let sound = TorchFile::parse(with_pickle(&tensor(6, 0, &[2, 3], &[3, 1]))).unwrap();
    assert_eq!(sound.tensor("weight", &[2, 3]).unwrap(), [0.0; 6]);
    let cases = [
        (6, 0, &[i64::MAX, i64::MAX][..], &[3, 1][..], "expected FloatStorage [2, 3]"),
        (6, 0, &[2, 3], &[3], "strides [3]"),
        (6, 0, &[2, 3], &[0, 0], "strides [0, 0]"),
        (6, 1, &[2, 3], &[3, 1], "needs values 1 to 7 of a storage that says it has 6 and has 6"),
        (6, i64::MAX, &[2, 3], &[3, 1], "needs values"),
        (i64::MAX, 0, &[2, 3], &[3, 1], "says it has 9223372036854775807 and has 6"),
        (5, 0, &[2, 3], &[3, 1], "says it has 5 and has 6"),
    ];
    for (count, offset, shape, stride, says) in cases {
        let wrong = wrong(with_pickle(&tensor(count, offset, shape, stride)));
        assert!(wrong.contains(says), "{says}: {wrong}");
    }
    let negative = refusal(with_pickle(&tensor(6, -1, &[2, 3], &[3, 1])));
    assert!(negative.contains("-1 is no size"), "{negative}");
    let deep = refusal(with_pickle(&tensor(6, 0, &[1; 9], &[1; 9])));
    assert!(deep.contains("up to eight sizes"), "{deep}");
}

#[test]
fn pickles_made_to_harm_are_refused() {
    let nested = [b"\x80\x02)".as_slice(), &b"\x85".repeat(2_000_000), b"."].concat();
    let many = [b"\x80\x02".as_slice(), &b"N".repeat(2_000_000), b"."].concat();
    // Each line doubles the one before, were it copied.
    let doubling = [b"\x80\x02)q\0".as_slice(), &b"h\0h\0\x86q\0".repeat(100), b"."].concat();
    let long = [b"\x80\x02\x8a\xff".as_slice(), &[1; 255], b"."].concat();
    let huge_text = b"\x80\x02X\xff\xff\xff\xffa.".to_vec();
    let cases: [(&str, &[u8], &str); 13] = [
        ("nesting", &nested, "more than 1048576 values"),
        ("many values", &many, "more than 1048576 values"),
        ("doubling", &doubling, "no dictionary"),
        ("a long number", &long, "255 bytes"),
        ("a long text", &huge_text, "cut short"),
        ("another protocol", b"\x80\x04}.", "protocol 2"),
        ("nothing", b"\x80\x02.", "empty stack"),
        ("an unset mark", b"\x80\x02}t.", "mark never set"),
        ("below a mark", b"\x80\x02}(\x85.", "empty stack"),
        ("an unknown memory", b"\x80\x02h\x07.", "recalls"),
        ("items of nothing", b"\x80\x02N(NNu.", "sets items"),
        ("a call", b"\x80\x02NNR.", "without arguments"),
        ("an unknown operation", b"\x80\x02\x93.", "operation 0x93"),
    ];
    for (what, pickle, says) in cases {
        let refusal = refusal(with_pickle(pickle));
        assert!(refusal.contains(says), "{what}: {refusal}");
    }
    let global = refusal(with_pickle(b"\x80\x02cbuiltins\neval\n."));
    assert!(global.contains("`builtins.eval`"), "{global}");
    let class = refusal(with_pickle(b"\x80\x02ctorch\nload\n."));
    assert!(class.contains("`torch.load`"), "a function of torch is no storage: {class}");
}

#[test]
fn archives_made_to_harm_are_refused() {
    let pickle = tensor(6, 0, &[2, 3], &[3, 1]);
    let data: &[u8] = &[0; 24];
    let twice = archive(&[("a/data.pkl", &pickle), ("a/data.pkl", &pickle)]);
    let two = archive(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)]);
    let none = archive(&[("a/data/0", data)]);
    let big = archive(&[("a/data.pkl", &pickle), ("a/byteorder", b"big")]);
    let mut outside = with_pickle(&pickle);
    // The first directory entry's sizes, packed and not, set to 4 GiB less 2.
    let entry = outside.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    outside[entry + 20..entry + 28].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff].repeat(2));
    let mut zip64 = with_pickle(&pickle);
    let end = zip64.len() - 22;
    zip64[end + 16..end + 20].fill(0xff);
    for (bytes, says) in [
        (twice, "two entries"),
        (two, "one `data.pkl`"),
        (none, "one `data.pkl`"),
        (big, "little-endian"),
        (outside, "4294967294 bytes long, which is more than there are"),
        (zip64, "larger than 4 GiB"),
    ] {
        let refusal = refusal(bytes);
        assert!(refusal.contains(says), "{says}: {refusal}");
    }
    let lost = wrong(archive(&[("a/data.pkl", &pickle)]));
    assert_eq!(lost, "entry `a/data/0` is missing");
}
