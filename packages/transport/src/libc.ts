/** Functions of the C library that is part of every Node process, called through koffi. */
import { createRequire } from 'node:module';

interface NativeLibrary {
  func<Signature>(definition: string): Signature;
}

interface NativeLoader {
  load(path: string | null): NativeLibrary;
}

let loaded: NativeLibrary | undefined;

/**
 * @param definition a C prototype in koffi's syntax
 * @throws when koffi has no binary for this machine, or the library no such function
 */
export function libcFunction<Signature>(definition: string): Signature {
  // The process itself is searched. Loaded on first use: programs that never ask do not pay for it.
  loaded ??= nativeLoader().load(null);
  return loaded.func(definition);
}

/**
 * The native half of koffi by itself. The other half, which finds and wraps it, loads modules of Node that nothing here needs:
 * 2.5 MB of resident memory. It is left the machines on which its native half lies elsewhere.
 */
function nativeLoader(): NativeLoader {
  const load = createRequire(import.meta.url);
  try {
    return load(`@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`);
  } catch {
    return load('koffi');
  }
}
