import type { JsonObject } from './json.ts';

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
  readonly jsonPath: string;
}

/** What a CustomResourceDefinition says about one served version. */
export interface CustomVersion {
  /** Name of the definition. */
  readonly definition: string;
  /** The version that objects are stored as; conversion changes apiVersion only. */
  readonly storageVersion: string;
  /** The openAPIV3Schema, or undefined when the version preserves everything. */
  readonly schema: JsonObject | undefined;
  readonly columns: readonly PrinterColumn[];
  readonly selectableFields: readonly string[];
}
