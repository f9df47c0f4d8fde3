/**
 * Descriptors of protobuf messages from plain data. protobuf-es decodes them from the bytes of their `.proto` file as a
 * program starts, all of them, and for that first describes `descriptor.proto` itself. In bundles `scripts/descriptors.ts` puts
 * this in its place: a message is described when it is first read or written. Codecs are protobuf-es's in both cases.
 */
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
import {
  fieldDefaults,
  type PlainEnum,
  type PlainField,
  type PlainFile,
  type PlainMessage,
  type PlainOneof,
  type PlainService,
} from './plain-file.ts';

/** Messages and enums by full name, which is unique in a program. */
const types = new Map<string, Message | DescEnum>();

/** The place of protobuf-es's `fileDesc`. */
export function describeFile(plain: PlainFile, dependencies: DescFile[] = []): DescFile {
  const { enums, messages, services, ...own } = plain;
  const file = Object.assign(new Described(`file ${plain.name}.proto`), {
    kind: 'file' as const,
    ...own,
    dependencies,
    extensions: [],
    enums: [] as DescEnum[],
    messages: [] as DescMessage[],
    services: [] as DescService[],
  });
  for (const each of enums) file.enums.push(describeEnum(each, file, undefined));
  for (const each of messages) file.messages.push(new Message(each, file, undefined));
  for (const each of services) file.services.push(describeService(each, file));
  return file;
}

class Described {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  get proto(): never {
    throw new Error(`${this.#text}: a bundle has no descriptor of descriptor.proto; use one of protobuf-es`);
  }

  toString(): string {
    return this.#text;
  }
}

class Message extends Described implements DescMessage {
  readonly kind = 'message';
  readonly name: string;
  readonly typeName: string;
  readonly deprecated: boolean;
  readonly file: DescFile;
  readonly parent: DescMessage | undefined;
  readonly nestedEnums: DescEnum[];
  readonly nestedMessages: DescMessage[];
  readonly nestedExtensions: [] = [];
  readonly #plain: PlainMessage;
  #parts: Pick<DescMessage, 'fields' | 'field' | 'oneofs' | 'members'> | undefined;

  constructor(plain: PlainMessage, file: DescFile, parent: DescMessage | undefined) {
    super(`message ${plain.typeName}`);
    this.#plain = plain;
    this.name = plain.name;
    this.typeName = plain.typeName;
    this.deprecated = plain.deprecated;
    this.file = file;
    this.parent = parent;
    types.set(plain.typeName, this);
    this.nestedEnums = plain.enums.map((each) => describeEnum(each, file, this));
    this.nestedMessages = plain.messages.map((each) => new Message(each, file, this));
  }

  get fields(): DescField[] {
    return this.#described().fields;
  }

  get field(): Record<string, DescField> {
    return this.#described().field;
  }

  get oneofs(): DescOneof[] {
    return this.#described().oneofs;
  }

  get members(): (DescField | DescOneof)[] {
    return this.#described().members;
  }

  #described(): Pick<DescMessage, 'fields' | 'field' | 'oneofs' | 'members'> {
    if (this.#parts !== undefined) return this.#parts;
    const oneofs = this.#plain.oneofs.map((each) => describeOneof(each, this));
    const fields = this.#plain.fields().map((each) => describeField(each, this, oneofs));
    for (const field of fields) field.oneof?.fields.push(field);
    this.#parts = {
      fields,
      field: Object.fromEntries(fields.map((field) => [field.localName, field])),
      oneofs,
      // A oneof stands where the first of its fields does.
      members: [...new Set(fields.map((field) => field.oneof ?? field))],
    };
    return this.#parts;
  }
}

class Field extends Described {
  readonly kind = 'field';

  /** proto3 has no others than the zero of the type. */
  getDefaultValue(): undefined {
    return undefined;
  }
}

function describeField(plain: PlainField, parent: DescMessage, oneofs: readonly DescOneof[]): DescField {
  const localName = plain['localName'] ?? plain.name;
  // That the kinds of fields come out as protobuf-es has them is what scripts/descriptors.test.ts compares.
  return Object.assign(new Field(`field ${parent.typeName}.${plain.name}`), fieldDefaults, plain, {
    parent,
    localName,
    jsonName: plain['jsonName'] ?? localName,
    oneof: plain.oneof === undefined ? undefined : oneofs[plain.oneof],
    message: plain.message === undefined ? undefined : messageNamed(plain.message),
    enum: plain.enum === undefined ? undefined : types.get(plain.enum),
  }) as unknown as DescField;
}

function describeOneof(plain: PlainOneof, parent: DescMessage): DescOneof {
  return Object.assign(new Described(`oneof ${parent.typeName}.${plain.name}`), {
    kind: 'oneof' as const,
    ...plain,
    deprecated: false,
    parent,
    fields: [],
  });
}

function describeEnum(plain: PlainEnum, file: DescFile, parent: DescMessage | undefined): DescEnum {
  const described = Object.assign(new Described(`enum ${plain.typeName}`), {
    kind: 'enum' as const,
    ...plain,
    file,
    parent,
    values: [] as DescEnumValue[],
    value: {} as Record<number, DescEnumValue>,
  });
  types.set(plain.typeName, described);
  for (const each of plain.values) {
    const value = Object.assign(new Described(`enum value ${plain.typeName}.${each.name}`), {
      kind: 'enum_value' as const,
      ...each,
      parent: described,
    });
    described.values.push(value);
    // Of two names for one number the first counts.
    described.value[each.number] ??= value;
  }
  return described;
}

function describeService(plain: PlainService, file: DescFile): DescService {
  const described = Object.assign(new Described(`service ${plain.typeName}`), {
    kind: 'service' as const,
    ...plain,
    file,
    methods: [] as DescMethod[],
    method: {} as Record<string, DescMethod>,
  });
  for (const each of plain.methods) {
    const method = Object.assign(new Described(`rpc ${plain.typeName}.${each.name}`), {
      kind: 'rpc' as const,
      ...each,
      parent: described,
      input: messageNamed(each.input),
      output: messageNamed(each.output),
    });
    described.methods.push(method);
    described.method[each.localName] = method;
  }
  return described;
}

function messageNamed(typeName: string): DescMessage {
  const found = types.get(typeName);
  if (found?.kind !== 'message') throw new Error(`message ${typeName} is not described`);
  return found;
}
