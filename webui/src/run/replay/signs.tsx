/** The signs on the buttons of the slider, drawn: not every device has letters for them. */
import type { JSX } from 'preact';

const PATHS = {
  back: 'M11 3v10L4 8z', forward: 'M5 3v10l7-5z', previous: 'M13 3v10L6.5 8zM3.5 3h2v10h-2z', next: 'M3 3v10l6.5-5zM10.5 3h2v10h-2z', play: 'M4 2.5v11l9-5.5z', pause: 'M4 3h3v10H4zM9 3h3v10H9z',
  link: 'M6.6 9.4a2.6 2.6 0 0 0 3.7 0l2.4-2.4A2.6 2.6 0 0 0 9 3.3L7.9 4.4l1 1L10 4.3a1.2 1.2 0 0 1 1.7 1.7L9.3 8.4a1.2 1.2 0 0 1-1.7 0zM9.4 6.6a2.6 2.6 0 0 0-3.7 0L3.3 9A2.6 2.6 0 0 0 7 12.7l1.1-1.1-1-1L6 11.7A1.2 1.2 0 0 1 4.3 10l2.4-2.4a1.2 1.2 0 0 1 1.7 0z',
} as const;

/** A sign. The button around it has the word. */
export function Sign({ is }: { is: keyof typeof PATHS }): JSX.Element {
  return <svg class="sign" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d={PATHS[is]} /></svg>;
}
