const dayMs = 86_400_000;

/**
 * The moment `wallMs`, ms since the epoch, as `2026-11-25T16:30:00.000Z` (RFC 3339, UTC); for the years 0 to 9999. Without a
 * `Date`: the first of a process loads the engine's tables of time zones, a megabyte of resident memory.
 */
export function isoTime(wallMs: number): string {
  const ms = Math.floor(wallMs);
  const days = Math.floor(ms / dayMs);
  const { year, month, day } = civilDate(days);
  const ofDay = ms - days * dayMs;
  const date = `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
  const minutes = Math.floor(ofDay / 60_000);
  const time = `${pad(Math.floor(minutes / 60), 2)}:${pad(minutes % 60, 2)}`;
  return `${date}T${time}:${pad(Math.floor(ofDay / 1000) % 60, 2)}.${pad(ofDay % 1000, 3)}Z`;
}

/** Of the Gregorian calendar, by days since the epoch. Years are counted from March, so that a leap day is a year's last. */
function civilDate(days: number): { year: number; month: number; day: number } {
  const fromMarch = days + 719_468;
  const era = Math.floor(fromMarch / 146_097);
  const ofEra = fromMarch - era * 146_097;
  const years = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * years + Math.floor(years / 4) - Math.floor(years / 100));
  const marchMonth = Math.floor((5 * ofYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: years + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: ofYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
  };
}

function pad(value: number, digits: number): string {
  return String(value).padStart(digits, '0');
}
