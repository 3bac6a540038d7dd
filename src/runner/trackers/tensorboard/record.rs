//! Framing of event files, TensorFlow's `TFRecord`: the length of a record, its checksum, the record, its checksum. The
//! checksum is CRC-32C, masked by a rotation and an offset because the data may contain checksums itself.

/// A record with its frame.
pub(super) fn framed(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(record);
    bytes.extend(masked(record).to_le_bytes());
    bytes
}

/// The complete records at the start of a file, and their length in bytes. The rest is a record whose writer died.
pub(super) fn complete(mut bytes: &[u8]) -> (Vec<&[u8]>, u64) {
    let (mut records, mut length) = (Vec::new(), 0);
    while let Some((record, rest)) = first(bytes) {
        length += (bytes.len() - rest.len()) as u64;
        records.push(record);
        bytes = rest;
    }
    (records, length)
}

fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    if masked(length) != u32::from_le_bytes(*check) {
        return None;
    }
    let (record, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    (masked(record) == u32::from_le_bytes(*check)).then_some((record, rest))
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), a byte at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn whole_records_are_read_and_a_torn_one_is_not() {
        let mut bytes = [framed(b"one"), framed(b""), framed(b"three")].concat();
        let whole_bytes = bytes.len();
        bytes.extend(&framed(b"torn")[..9]);
        assert_eq!(complete(&bytes), (vec![&b"one"[..], b"", b"three"], whole_bytes as u64));
        for cut in 0..whole_bytes {
            let (records, length) = complete(&bytes[..cut]);
            assert!(records.len() < 3 && length as usize <= cut);
        }
        bytes[13] ^= 1;
        assert_eq!(complete(&bytes), (vec![], 0), "a flipped bit is seen");
    }
}
