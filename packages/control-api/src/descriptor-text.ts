/** Descriptors as protobuf-es has them, to the plain data of `plain-file.ts`; used when programs are bundled. */
import type { DescEnum, DescField, DescFile, DescMessage, DescService } from '@bufbuild/protobuf';
import { fieldDefaults } from './plain-file.ts';

/** `file` as the source text of a PlainFile; undefined when it has what cannot be said plainly: extensions, or defaults other than zero. */
export function plainFileText(described: DescFile): string | undefined {
  if (!isPlain(described)) return undefined;
  const { enums, messages, services, ...file } = described;
  return record({
    ...scalars(file),
    enums: list(enums.map(enumText)),
    messages: list(messages.map(messageText)),
    services: list(services.map(serviceText)),
  });
}

function isPlain({ extensions, messages }: DescFile): boolean {
  const plain = (message: DescMessage): boolean =>
    message.nestedExtensions.length === 0 &&
    message.fields.every(
      (field) => !('getDefaultValue' in field) || field.getDefaultValue?.() === undefined,
    ) &&
    message.nestedMessages.every(plain);
  return extensions.length === 0 && messages.every(plain);
}

function messageText({ fields, oneofs, nestedEnums, nestedMessages, ...message }: DescMessage): string {
  return record({
    ...scalars(message),
    oneofs: list(oneofs.map(({ name, localName }) => record(scalars({ name, localName })))),
    enums: list(nestedEnums.map(enumText)),
    messages: list(nestedMessages.map(messageText)),
    fields: `() => ${list(fields.map((field) => fieldText(field, oneofs.indexOf(field.oneof as never))))}`,
  });
}

function fieldText(field: DescField, oneof: number): string {
  const { localName, jsonName } = field;
  const own = {
    ...field,
    localName: localName === field.name ? undefined : localName,
    jsonName: jsonName === localName ? undefined : jsonName,
    message: field.message?.typeName,
    enum: field.enum?.typeName,
    oneof: oneof === -1 ? undefined : oneof,
  };
  const defaults: Readonly<Record<string, unknown>> = fieldDefaults;
  return record(
    scalars(Object.fromEntries(Object.entries(own).filter(([key, value]) => value !== defaults[key]))),
  );
}

function enumText({ values, ...described }: DescEnum): string {
  return record({
    ...scalars(described),
    values: list(values.map((value) => record(scalars(value)))),
  });
}

function serviceText({ methods, ...service }: DescService): string {
  return record({
    ...scalars(service),
    methods: list(
      methods.map(({ input, output, ...method }) =>
        record(scalars({ ...method, input: input.typeName, output: output.typeName })),
      ),
    ),
  });
}

/** Source text of each value that is plain, by name. The kinds of descriptors are known where they are made. */
function scalars(described: object): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(described)) {
    if (key !== 'kind' && ['string', 'number', 'boolean'].includes(typeof value)) {
      texts[key] = JSON.stringify(value);
    }
  }
  return texts;
}

function record(texts: Readonly<Record<string, string>>): string {
  return `{${Object.entries(texts)
    .map(([key, text]) => `${key}:${text}`)
    .join(',')}}`;
}

function list(texts: readonly string[]): string {
  return `[${texts.join(',')}]`;
}

/** Among the exports of a generated module: the descriptor of its file. */
export function isFile(value: unknown): value is DescFile {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'file';
}
