/** Every stable error code with one line of meaning. Add here, never rename; docs/errors.md is generated from it. */
export const errorCodes = {
  'config-invalid': 'An environment variable has a value outside what is allowed.',
  'config-unknown': 'An environment variable with our prefix is not known to this program.',
  'config-missing': 'A required environment variable is not set.',
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof errorCodes;
