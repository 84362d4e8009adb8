/** Copying a text. Over plain HTTP from another machine browsers have no clipboard: then the text is shown, to be copied by hand. */
import { signal } from '@preact/signals';

/** A text that is to be copied by hand. */
export const byHand = signal<string | undefined>(undefined);

/** Copies a text, or shows it. */
export async function copy(text: string): Promise<void> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  try {
    if (!clipboard) throw new Error('there is no clipboard');
    await clipboard.writeText(text);
  } catch {
    byHand.value = text;
  }
}
