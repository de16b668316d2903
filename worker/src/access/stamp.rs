//! The time as lines tell it, made once a second.
//!
//! Known fault: gunicorn's times are local and ours are UTC, in its format too; the offset says so.

use std::time::{Duration, SystemTime};

/// The time as lines tell it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// `2026-11-23T05:48:00.123Z`
    pub iso: [u8; 24],
    /// `[23/Nov/2026:05:48:00 +0000]`
    pub common: [u8; 28],
}

/// What the time was when it was last asked for; most lines share its second.
#[derive(Debug)]
pub struct Stamp {
    second: u64,
    now: Now,
}

impl Default for Stamp {
    fn default() -> Stamp {
        Stamp {
            second: u64::MAX,
            now: Now { iso: *b"1970-01-01T00:00:00.000Z", common: *b"[01/Jan/1970:00:00:00 +0000]" },
        }
    }
}

impl Stamp {
    /// Now.
    pub fn now(&mut self) -> &Now {
        self.at(crate::clock::since_1970())
    }

    /// The time so long after the beginning of 1970.
    fn at(&mut self, since: Duration) -> &Now {
        const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.second));
            // `Sun, 06 Nov 1994 08:49:37 GMT`
            let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
            let number = MONTHS.chunks_exact(3).position(|known| known == month.as_bytes()).unwrap_or_default() + 1;
            let iso = format!("{year}-{number:02}-{day}T{time}.000Z");
            self.now.iso.copy_from_slice(iso.as_bytes());
            self.now.common.copy_from_slice(format!("[{day}/{month}/{year}:{time} +0000]").as_bytes());
        }
        let milliseconds = since.subsec_millis();
        let digit = |divisor: u32| b'0' + (milliseconds / divisor % 10) as u8;
        self.now.iso[20..23].copy_from_slice(&[digit(100), digit(10), digit(1)]);
        &self.now
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A time of 1994.
    pub fn then() -> Now {
        *Stamp::default().at(Duration::from_millis(784_111_777_042))
    }

    #[test]
    fn the_time_is_told_as_each_form_wants_it() {
        let mut stamp = Stamp::default();
        assert_eq!(stamp.at(Duration::from_millis(784_111_777_042)).iso, *b"1994-11-06T08:49:37.042Z");
        assert_eq!(stamp.at(Duration::from_millis(784_111_777_999)).iso, *b"1994-11-06T08:49:37.999Z");
        let later = stamp.at(Duration::from_secs(951_782_400));
        assert_eq!((later.iso, later.common), (*b"2000-02-29T00:00:00.000Z", *b"[29/Feb/2000:00:00:00 +0000]"));
    }
}
