//! As much of MySQL's protocol as it takes to see statements pass, and where an answer ends.
//!
//! What does not belong here: sockets. The source is the client/server protocol as MySQL and MariaDB
//! document it: packets of a three-byte length, a number and a payload; an answer is one or more
//! results, each an OK, an error, or columns and rows with an end.

const HEADER_BYTES: usize = 4;
const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const OK: u8 = 0x00;
const END: u8 = 0xfe;
const ERROR: u8 = 0xff;
/// In the status of an OK or an end: another result follows.
const MORE_RESULTS: u16 = 0x0008;
/// The payload of an old-style end: its mark, warnings, status.
const OLD_END_BYTES: usize = 5;

/// Takes bytes as they come and gives packets, each with its header.
#[derive(Debug, Default)]
pub(super) struct PacketReader {
    bytes: Vec<u8>,
}

impl PacketReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole packet.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let header = self.bytes.first_chunk::<HEADER_BYTES>()?;
        let length = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        let whole = HEADER_BYTES + length;
        if self.bytes.len() < whole {
            return None;
        }
        Some(self.bytes.drain(..whole).collect())
    }
}

/// The text of the statement that a packet carries out or prepares.
pub(super) fn statement(packet: &[u8]) -> Option<&[u8]> {
    // Only the first packet of a command has the number 0; the login's packets have others.
    match packet {
        [_, _, _, 0, COM_QUERY | COM_STMT_PREPARE, text @ ..] => Some(text),
        _ => None,
    }
}

/// Follows an answer to a statement to its end.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    packets: PacketReader,
    expecting: Expecting,
}

#[derive(Clone, Copy, Debug, Default)]
enum Expecting {
    #[default]
    Result,
    Columns(u64),
    /// Rows, or an old-style end of the columns.
    RowsOrEnd,
    Rows,
}

impl AnswerReader {
    /// Whether the answer is whole with these bytes.
    pub(super) fn is_complete_after(&mut self, bytes: &[u8]) -> bool {
        self.packets.push(bytes);
        while let Some(packet) = self.packets.next() {
            if self.ends_with(&packet[HEADER_BYTES..]) {
                return true;
            }
        }
        false
    }

    fn ends_with(&mut self, payload: &[u8]) -> bool {
        let first = payload.first().copied().unwrap_or(ERROR);
        if first == ERROR {
            return true;
        }
        match self.expecting {
            Expecting::Result if first == OK => return !has_more(ok_status(payload)),
            Expecting::Result => {
                let columns = number(payload).map_or(0, |(columns, _)| columns);
                self.expecting = if columns == 0 { Expecting::RowsOrEnd } else { Expecting::Columns(columns) };
            }
            Expecting::Columns(left) => {
                self.expecting = if left > 1 { Expecting::Columns(left - 1) } else { Expecting::RowsOrEnd };
            }
            Expecting::RowsOrEnd if first == END && payload.len() == OLD_END_BYTES => self.expecting = Expecting::Rows,
            Expecting::RowsOrEnd | Expecting::Rows if first == END => {
                let status = if payload.len() == OLD_END_BYTES {
                    Some(u16::from_le_bytes([payload[3], payload[4]]))
                } else {
                    ok_status(payload)
                };
                self.expecting = Expecting::Result;
                return !has_more(status);
            }
            Expecting::RowsOrEnd | Expecting::Rows => self.expecting = Expecting::Rows,
        }
        false
    }
}

fn has_more(status: Option<u16>) -> bool {
    status.is_some_and(|status| status & MORE_RESULTS != 0)
}

/// The status of an OK: after its mark, the affected rows and the last id.
fn ok_status(payload: &[u8]) -> Option<u16> {
    let (_, rest) = number(payload.get(1..)?)?;
    let (_, rest) = number(rest)?;
    rest.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// A number of one to nine bytes, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let length = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        small => return Some((u64::from(small), rest)),
    };
    let (digits, rest) = rest.split_at_checked(length)?;
    Some((digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[length, 0, 0, number], payload].concat()
    }

    const FINAL_OK: [u8; 7] = [OK, 1, 0, 2, 0, 0, 0];
    const OK_WITH_MORE: [u8; 7] = [OK, 1, 0, 8, 0, 0, 0];

    #[test]
    fn packets_come_out_whole_however_they_came_in() {
        let bytes = [packet(0, b"\x03begin"), packet(0, b"\x03commit")].concat();
        let mut reader = PacketReader::default();
        let mut found = Vec::new();
        for byte in bytes {
            reader.push(&[byte]);
            found.extend(reader.next());
        }
        let texts: Vec<_> = found.iter().filter_map(|packet| statement(packet)).collect();
        assert_eq!(texts, [b"begin".as_slice(), b"commit"]);
    }

    #[test]
    fn only_a_commands_first_packet_is_a_statement() {
        assert_eq!(statement(&packet(1, b"\x03commit")), None);
        assert_eq!(statement(&packet(0, b"\x16commit")), Some(b"commit".as_slice()));
        assert_eq!(statement(&packet(0, b"\x0e")), None);
    }

    #[test]
    fn an_answer_ends_with_its_last_result() {
        let columns = [packet(1, &[2]), packet(2, b"def-a"), packet(3, b"def-b")].concat();
        let row = packet(5, b"\x01a\x01b");
        let old_end = packet(4, &[END, 0, 0, 2, 0]);
        let old_end_with_more = packet(6, &[END, 0, 0, 8, 0]);
        let new_end = packet(6, &[END, 0, 0, 2, 0, 0, 0]);
        let cases: [(&str, Vec<Vec<u8>>); 5] = [
            ("one OK", vec![packet(1, &FINAL_OK)]),
            ("two OKs", vec![packet(1, &OK_WITH_MORE), packet(2, &FINAL_OK)]),
            ("an error after an OK", vec![packet(1, &OK_WITH_MORE), packet(2, &[ERROR, 1, 2])]),
            (
                "old-style rows, then an OK",
                vec![columns.clone(), old_end.clone(), row.clone(), old_end_with_more, packet(7, &FINAL_OK)],
            ),
            ("new-style rows", vec![columns, row, new_end]),
        ];
        for (name, parts) in cases {
            let bytes = parts.concat();
            let mut reader = AnswerReader::default();
            let complete: Vec<bool> = bytes.iter().map(|byte| reader.is_complete_after(&[*byte])).collect();
            assert_eq!(complete.iter().position(|complete| *complete), Some(bytes.len() - 1), "{name}");
        }
    }
}
