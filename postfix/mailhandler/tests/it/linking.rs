//! The shipped program needs nothing at run time.

use crate::harness::is_available;

/// The type of a program header that names a dynamic loader.
const PT_INTERP: u32 = 3;

#[test]
fn the_shipped_program_is_linked_statically() {
    let Some(dist) = std::env::var_os("HEADWORKS_DIST") else {
        is_available("dist", &["HEADWORKS_DIST, the directory of the shipped programs"]);
        return;
    };
    let program = std::fs::read(std::path::Path::new(&dist).join("mailhandler")).unwrap();
    let types = program_header_types(&program);
    assert!(!types.is_empty() && !types.contains(&PT_INTERP), "{types:?}");
}

/// Of a 64-bit little-endian ELF file: `e_phoff` at 32, `e_phentsize` at 54, `e_phnum` at 56.
fn program_header_types(elf: &[u8]) -> Vec<u32> {
    assert_eq!(elf[..6], *b"\x7fELF\x02\x01");
    let half = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
    let table = usize::try_from(u64::from_le_bytes(elf[32..40].try_into().unwrap())).unwrap();
    let header = |index: usize| table + index * half(54);
    (0..half(56)).map(|index| u32::from_le_bytes(elf[header(index)..][..4].try_into().unwrap())).collect()
}

#[test]
fn a_dynamic_program_is_told_apart() {
    let elf = std::fs::read("/proc/self/exe").unwrap();
    assert!(program_header_types(&elf).contains(&PT_INTERP));
}
