/** What descriptors of a protobuf file say, without references: the data that `plain-descriptors.ts` makes descriptors of. */
import type {
  DescEnum,
  DescEnumValue,
  DescField,
  DescFile,
  DescMessage,
  DescMethod,
  DescOneof,
  DescService,
} from '@bufbuild/protobuf';

/** What `T` says itself; names in place of other descriptors. */
type Plain<T> = {
  readonly [Key in keyof T as T[Key] extends string | number | boolean | undefined ? Key : never]: T[Key];
};

export type PlainOneof = Pick<DescOneof, 'name' | 'localName'>;

/** What is not there is as `fieldDefaults` says; `localName` is then `name`, and `jsonName` is `localName`. */
export interface PlainField {
  readonly name: string;
  readonly number: number;
  readonly fieldKind: DescField['fieldKind'];
  /** Full name of the message, or of the enum. */
  readonly message?: string;
  readonly enum?: string;
  /** Index among the oneofs of the message. */
  readonly oneof?: number;
  readonly [other: string]: string | number | boolean | undefined;
}

export interface PlainEnum extends Plain<Omit<DescEnum, 'kind'>> {
  readonly values: readonly Plain<Omit<DescEnumValue, 'kind'>>[];
}

export interface PlainMessage extends Plain<Omit<DescMessage, 'kind'>> {
  readonly oneofs: readonly PlainOneof[];
  readonly enums: readonly PlainEnum[];
  readonly messages: readonly PlainMessage[];
  /** A function, which the engine does not compile before it is called. */
  readonly fields: () => readonly PlainField[];
}

export interface PlainMethod extends Plain<Omit<DescMethod, 'kind'>> {
  readonly input: string;
  readonly output: string;
}

export interface PlainService extends Plain<Omit<DescService, 'kind'>> {
  readonly methods: readonly PlainMethod[];
}

export interface PlainFile extends Plain<Omit<DescFile, 'kind'>> {
  readonly enums: readonly PlainEnum[];
  readonly messages: readonly PlainMessage[];
  readonly services: readonly PlainService[];
}

/** Of most fields of proto3. Presence 2 is implicit. */
export const fieldDefaults = {
  deprecated: false,
  presence: 2,
  utf8Validation: true,
  scalar: undefined,
  message: undefined,
  enum: undefined,
  listKind: undefined,
  mapKind: undefined,
  mapKey: undefined,
  delimitedEncoding: undefined,
  packed: undefined,
  longAsString: false,
} as const;
