/** A file may be dropped anywhere on the page: a new run begins with it. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { go } from '../app/route';

const over = signal(false);

function hasFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') ?? false;
}

/** Listens; what reads the files is loaded when the first one comes. */
export function listenToDrops(): void {
  addEventListener('dragover', (event) => {
    if (!hasFiles(event) || event.defaultPrevented) {
      over.value = false;
      return;
    }
    event.preventDefault();
    over.value = true;
  });
  addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) over.value = false;
  });
  addEventListener('drop', (event) => {
    over.value = false;
    if (!hasFiles(event) || event.defaultPrevented) return;
    event.preventDefault();
    const [file] = event.dataTransfer?.files ?? [];
    // Where that cannot be loaded, the page of new runs cannot be either, and says so.
    if (file) import('./source').then((source) => source.takeFile(file), () => go({ view: 'new', name: undefined, pane: 'main' }));
  });
}

/** What is seen while a file is over the page. */
export function DropHint(): JSX.Element | null {
  return over.value ? <div class="drop-hint"><p>🎨 Drop a workflow or a picture made by ComfyUI</p></div> : null;
}
