//! What the compiler says about each kernel: registers, spills, stack, and the length of its machine code.

use crate::mix::Mix;

/// One kernel for one architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// As the host asks for it.
    pub kernel: String,
    /// Per thread.
    pub registers: u32,
    /// Bytes of local memory for each thread: arrays that are indexed at run time, calls.
    pub stack: u32,
    /// Bytes of registers written to local memory because there are too few.
    pub stores: u32,
    /// And read back.
    pub loads: u32,
    /// Bytes of machine code.
    pub code: u64,
    /// Its instructions; empty where nobody disassembled.
    pub mix: Mix,
}

/// From the log of `--ptxas-options=-v` and the ELF file that came with it. A log that does not tell of every kernel in the
/// file is an error: nothing may pass because nobody looked. Sources for tensor cores have no kernels for cards without. What the
/// compiler gave up is an error, too: products of warpgroups that wait for each other, registers that are not handed over.
pub fn read(log: &str, elf: &[u8]) -> Result<Vec<Usage>, String> {
    let mut found: Vec<Usage> = Vec::new();
    let given_up = ["wgmma.mma_async instructions are serialized", "setmaxnreg ignored"];
    if let Some(line) = log.lines().find(|line| given_up.iter().any(|words| line.contains(words))) {
        return Err(line.trim().into());
    }
    for line in log.lines() {
        if let Some(name) = between(line, "Compiling entry function '", "'") {
            found.push(Usage { kernel: name.into(), ..Usage::default() });
        }
        let Some(last) = found.last_mut() else { continue };
        if let Some(stack) = before(line, " bytes stack frame") {
            // The kernel's own, then those of functions it calls.
            last.stack = last.stack.max(stack);
            last.stores += before(line, " bytes spill stores").ok_or("no spill stores beside the stack frame")?;
            last.loads += before(line, " bytes spill loads").ok_or("no spill loads beside the stack frame")?;
        }
        if let Some(registers) = before(line, " registers") {
            last.registers = registers;
        }
    }
    for (name, bytes) in sections(elf).ok_or("the machine code is not an ELF file of 64 bits")? {
        let Some(kernel) = name.strip_prefix(".text.") else { continue };
        let usage = found.iter_mut().find(|usage| usage.kernel == kernel);
        usage.ok_or_else(|| format!("the log says nothing of {kernel}"))?.code = bytes;
    }
    match found.iter().find(|usage| usage.registers == 0 || usage.code == 0) {
        Some(usage) => Err(format!("registers or code of {} are missing", usage.kernel)),
        None => {
            found.sort_by(|a, b| a.kernel.cmp(&b.kernel));
            Ok(found)
        }
    }
}

fn between<'a>(line: &'a str, start: &str, end: &str) -> Option<&'a str> {
    line.split_once(start)?.1.split_once(end).map(|(found, _)| found)
}

/// The number in front of these words.
fn before(line: &str, words: &str) -> Option<u32> {
    line.split_once(words)?.0.rsplit([' ', '\t']).next()?.parse().ok()
}

/// Names and lengths of the sections of a little-endian ELF file.
fn sections(elf: &[u8]) -> Option<Vec<(String, u64)>> {
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        usize::try_from(field.iter().rev().fold(0_u64, |n, b| n << 8 | u64::from(*b))).ok()
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count, names) = (number(0x28, 8)?, number(0x3a, 2)?, number(0x3c, 2)?, number(0x3e, 2)?);
    let names = number(table + names * size + 0x18, 8)?;
    let section = |i: usize| {
        let at = table + i * size;
        elf.get(at..at + size)?;
        let name = elf.get(names + number(at, 4)?..)?;
        let name = std::ffi::CStr::from_bytes_until_nul(name).ok()?.to_str().ok()?;
        Some((name.to_string(), number(at + 0x20, 8)? as u64))
    };
    (0..count).map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "ptxas info    : 12 bytes gmem\n\
        ptxas info    : Compiling entry function 'sum_f32' for 'sm_90a'\n\
        ptxas info    : Function properties for sum_f32\n\
        ptxas         .     16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n\
        ptxas info    : Used 40 registers, used 1 barriers, 4096 bytes smem\n\
        ptxas info    : Function properties for helper\n\
        ptxas         .     24 bytes stack frame, 0 bytes spill stores, 4 bytes spill loads\n\
        ptxas info    : Compile time = 17.452 ms\n\
        ptxas info    : Compiling entry function 'fill' for 'sm_90a'\n\
        \x20   0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
        ptxas info    : Used 8 registers, 376 bytes cmem[0]\n";

    /// An ELF file with a null section, the names, and one section of code for each kernel.
    fn elf(kernels: &[(&str, u64)]) -> Vec<u8> {
        let mut names = b"\0.shstrtab\0".to_vec();
        let mut sections = vec![(0, 0, 0), (1, 0, 0)];
        for (kernel, bytes) in kernels {
            sections.push((names.len(), 64, *bytes));
            names.extend(format!(".text.{kernel}\0").bytes());
        }
        let table = 64 + names.len();
        sections[1] = (1, 64, names.len() as u64);
        let mut out = vec![0; 64];
        out[..6].copy_from_slice(b"\x7fELF\x02\x01");
        out[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        out[0x3a..0x40].copy_from_slice(&[64, 0, sections.len() as u8, 0, 1, 0]);
        out.extend(&names);
        for (name, offset, size) in sections {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&(name as u32).to_le_bytes());
            header[0x18..0x20].copy_from_slice(&u64::to_le_bytes(offset));
            header[0x20..0x28].copy_from_slice(&size.to_le_bytes());
            out.extend(header);
        }
        out
    }

    #[test]
    fn the_log_is_read_to_the_last_spill() {
        let sum = Usage { kernel: "sum_f32".into(), registers: 40, stack: 24, stores: 8, loads: 16, code: 640, mix: Mix::new() };
        let fill = Usage { kernel: "fill".into(), registers: 8, code: 128, ..Usage::default() };
        assert_eq!(read(LOG, &elf(&[("sum_f32", 640), ("fill", 128)])), Ok(vec![fill, sum]));
    }

    #[test]
    fn silence_is_not_success() {
        assert_eq!(read("", &elf(&[])), Ok(Vec::new()));
        assert!(read("", &elf(&[("fill", 1)])).unwrap_err().contains("fill"), "not in the log");
        assert!(read("", b"").is_err());
        assert!(read(LOG, &elf(&[("sum_f32", 640)])).unwrap_err().contains("fill"), "no code");
        assert!(read(LOG, &elf(&[("sum_f32", 1), ("fill", 1), ("other", 1)])).unwrap_err().contains("other"), "not in the log");
        assert!(read(LOG, b"PTX").unwrap_err().contains("ELF"));
        let whole = elf(&[("sum_f32", 640), ("fill", 128)]);
        for cut in 0..whole.len() {
            assert!(read(LOG, &whole[..cut]).is_err(), "cut to {cut}");
        }
        for words in [
            "setmaxnreg ignored to maintain",
            "(C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to",
        ] {
            let warned = format!("{LOG}ptxas info    : {words} something\n");
            assert!(read(&warned, &elf(&[("sum_f32", 640), ("fill", 128)])).unwrap_err().contains(words));
        }
        let unnamed = LOG.replace(" registers", " somethings");
        assert!(read(&unnamed, &whole).is_err());
    }
}
