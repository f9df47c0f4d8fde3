/** Whether this is `npm run interop`, which takes minutes; `npm test` runs the same cases with smaller numbers. */
export const long: boolean = process.env['INTEROP_LONG'] === '1';
