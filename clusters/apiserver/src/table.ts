/** Tables (meta.k8s.io/v1) for clients such as kubectl, which print what the server decides to show. */
import { builtinColumns, fallbackColumns, age, type Column } from './columns.ts';
import type { PrinterColumn } from './custom-version.ts';
import type { Json, JsonObject } from './json.ts';
import { compileJsonPath } from './json-path.ts';
import type { KubeObject } from './object.ts';
import type { ResourceInfo } from './resources.ts';

function customCell({ jsonPath, type }: PrinterColumn): Column['cell'] {
  const read = compileJsonPath(jsonPath);
  return (object, nowMs) => {
    const values = read?.(object) ?? [];
    const [first] = values;
    if (first === undefined || first === null) return type === 'date' ? '<unknown>' : null;
    if (type === 'date') return age(String(first), nowMs);
    if (type === 'string') {
      const shown = values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)));
      return shown.join(',');
    }
    return first;
  };
}

function columnsOf(info: ResourceInfo): Column[] {
  const { custom, kind } = info;
  if (custom === undefined) return [...(builtinColumns[kind] ?? fallbackColumns)];
  const named = fallbackColumns.slice(0, 1);
  return [
    ...named,
    ...custom.columns.map(
      (column): Column => ({
        name: column.name,
        type: column.type as Column['type'],
        format: column.format,
        priority: column.priority,
        cell: customCell(column),
      }),
    ),
  ];
}

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export function tableOf(
  info: ResourceInfo,
  objects: readonly KubeObject[],
  { listMeta, include, nowMs }: { listMeta: JsonObject; include: IncludeObject; nowMs: number },
): JsonObject {
  const columns = columnsOf(info);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: listMeta,
    columnDefinitions: columns.map(
      ({ name, type, format = '', priority = 0 }): JsonObject => ({
        name,
        type,
        format,
        description: '',
        priority,
      }),
    ),
    rows: objects.map((object): JsonObject => {
      const shown: Json =
        include === 'Object' ? object : include === 'Metadata' ? partialMetadata(object) : null;
      return {
        cells: columns.map((column) => column.cell(object, nowMs)),
        ...(shown === null ? {} : { object: shown }),
      };
    }),
  };
}

export function partialMetadata(object: KubeObject): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}
