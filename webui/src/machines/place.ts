/** Places that people type: addresses and SSH commands. */

/** How a place is reached, from what was typed. */
export function placeOf(text: string): { url: string } | { ssh_connection: string } {
  const place = text.trim();
  if (/^https?:\/\//i.test(place)) return { url: place };
  if (/^(ssh\s|\S+@)/.test(place)) return { ssh_connection: place };
  return { url: `http://${place}` };
}

/** A name from a place, in the letters that names may have. */
export function nameOf(place: string): string {
  const host = /@\[?([^\s\]]+)/.exec(place)?.[1] ?? /^(?:https?:\/\/)?\[?([^/\s\]]+)/i.exec(place.trim())?.[1] ?? '';
  return host.toLowerCase().replace(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+/, '').slice(0, 60);
}
