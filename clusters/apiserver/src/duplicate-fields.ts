/**
 * Finds object members that occur twice in a JSON text. JSON.parse keeps the last one silently; strict field
 * validation must name them. The text is known to be valid JSON.
 */
export function duplicateFields(text: string): string[] {
  const duplicates: string[] = [];
  interface Frame {
    readonly path: string;
    readonly names: Set<string> | undefined;
    index: number;
    member: string;
  }
  const stack: Frame[] = [];
  const string = /"(?:[^"\\]|\\.)*"/y;
  for (let offset = 0; offset < text.length; offset++) {
    const character = text[offset];
    const frame = stack.at(-1);
    if (character === '"') {
      string.lastIndex = offset;
      const literal = string.exec(text)?.[0] ?? '""';
      offset += literal.length - 1;
      if (frame?.names === undefined || !/^\s*:/.test(text.slice(offset + 1, offset + 64))) continue;
      const name = JSON.parse(literal) as string;
      frame.member = frame.path === '' ? name : `${frame.path}.${name}`;
      if (frame.names.has(name)) duplicates.push(frame.member);
      frame.names.add(name);
    } else if (character === '{' || character === '[') {
      const path =
        frame === undefined ? '' : frame.names === undefined ? `${frame.path}[${frame.index}]` : frame.member;
      stack.push({ path, names: character === '{' ? new Set() : undefined, index: 0, member: path });
    } else if (character === '}' || character === ']') stack.pop();
    else if (character === ',' && frame !== undefined) frame.index++;
  }
  return duplicates;
}
