//! Flight recorders: one readable file a saga, beside the database. Its whole lines are the witness of how long the journal must be.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::super::journal::Record;

/// Where all recorders of a data directory are.
pub fn folder(dir: &Path) -> PathBuf {
    dir.join("flight")
}

/// The recorder of one saga.
pub fn file(dir: &Path, saga: &str) -> PathBuf {
    folder(dir).join(format!("{saga}.jsonl"))
}

/// All recorders in a folder, with their sagas.
pub fn all(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let saga = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl"));
        if let Some(saga) = saga {
            found.push((saga.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// How far a recorder can be trusted.
#[derive(Default)]
pub struct Witness {
    /// Whole lines: events that were durable.
    pub lines: u64,
    /// Bytes of those lines; what follows is half a line.
    pub bytes: u64,
}

/// Counts the whole lines of a recorder. After a power cut its end may be blank or half a line.
pub fn witness(file: &Path) -> io::Result<Witness> {
    let mut found = Witness::default();
    let file = File::open(file)?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && is_whole(&line) {
        found.lines += 1;
        found.bytes += line.len() as u64;
        line.clear();
    }
    Ok(found)
}

fn is_whole(line: &[u8]) -> bool {
    line.starts_with(b"{") && line.ends_with(b"}\n")
}

/// All records of a recorder. Only its end may be torn: a broken line with whole ones after it would shorten the journal unnoticed.
pub fn read(file: &Path) -> Result<Vec<Record>, String> {
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    let mut records: Vec<Record> = Vec::new();
    let mut torn = None;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let number = number + 1;
        if !is_whole(line) {
            torn = torn.or(Some(number));
            continue;
        }
        if let Some(torn) = torn {
            return Err(format!("line {torn} is broken"));
        }
        let record: Record = serde_json::from_slice(line).map_err(|error| format!("line {number}: {error}"))?;
        if record.seq != records.len() as u64 {
            return Err(format!("line {number} is event {}", record.seq));
        }
        records.push(record);
    }
    Ok(records)
}

/// Recorders that are being written: each stays open, up to [`OPEN`] of them.
pub struct Flights {
    dir: PathBuf,
    open: HashMap<String, File>,
}

/// So many file handles at most.
const OPEN: usize = 128;

impl Flights {
    /// Of a data directory.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            open: HashMap::new(),
        }
    }

    /// Appends whole lines to a saga's recorder.
    pub fn write(&mut self, saga: &str, lines: &[u8]) -> io::Result<()> {
        if let Some(mut file) = self.open.get(saga) {
            return file.write_all(lines);
        }
        if self.open.len() >= OPEN {
            self.open.clear();
        }
        let mut opened = append_to(&file(&self.dir, saga))?;
        opened.write_all(lines)?;
        self.open.insert(saga.to_owned(), opened);
        Ok(())
    }

    /// How many are open.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Lets go of a recorder that gets no more lines, or is about to be moved.
    pub fn close(&mut self, saga: &str) {
        self.open.remove(saga);
    }
}

fn append_to(file: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(file)
}

/// Brings a recorder that a kill left short, or with half a line, up to date.
pub fn catch_up(file: &Path, trusted: &Witness, records: &[Record]) -> io::Result<()> {
    let mut lines = Vec::new();
    for record in records.iter().skip(trusted.lines as usize) {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    let out = OpenOptions::new().create(true).truncate(false).write(true).open(file)?;
    out.set_len(trusted.bytes)?;
    drop(out);
    append_to(file)?.write_all(&lines)
}

/// Whether a recorder needs catching up with a journal of this length.
pub fn is_behind(file: &Path, witness: &Witness, length: u64) -> bool {
    witness.lines != length || !fs::metadata(file).is_ok_and(|file| file.len() == witness.bytes)
}

/// All records of an archived recorder; none if there is no such file. A saga is asked for by people: what names another place is none.
pub fn archived(dir: &Path, saga: &str) -> Result<Vec<Record>, String> {
    let is_a_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let file = archive_folder(dir).join(format!("{saga}.jsonl"));
    match saga.chars().all(is_a_name) && file.is_file() {
        true => read(&file),
        false => Ok(Vec::new()),
    }
}

fn archive_folder(dir: &Path) -> PathBuf {
    folder(dir).join("archive")
}

/// Moves a recorder to the archive, for good before the journal itself goes.
pub fn archive(dir: &Path, saga: &str) -> io::Result<()> {
    let archive = archive_folder(dir);
    fs::create_dir_all(&archive)?;
    match fs::rename(file(dir, saga), archive.join(format!("{saga}.jsonl"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::open(archive)?.sync_all()?;
    File::open(folder(dir))?.sync_all()
}
