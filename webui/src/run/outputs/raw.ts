/** Parts of JSON as they stand in its text: numbers that this page cannot hold stay what they are. */

/** The text of a member of an object, at its first level. */
export function memberText(json: string, name: string): string | undefined {
  const pieces = json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g);
  let depth = 0;
  let key: string | undefined;
  let begin: number | undefined;
  for (const { 0: piece, index } of pieces) {
    if (depth === 1 && begin !== undefined && (piece === ',' || piece === '}')) return json.slice(begin, index).trim();
    if (piece === '{' || piece === '[') depth += 1;
    else if (piece === '}' || piece === ']') depth -= 1;
    else if (depth === 1 && piece === ':' && key === JSON.stringify(name)) begin = index + 1;
    else if (depth === 1 && begin === undefined && piece.startsWith('"')) key = piece;
    else if (depth === 1 && piece === ',') key = undefined;
  }
  return undefined;
}
