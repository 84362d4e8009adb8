/** An output as it is shown in lists: its picture, its player, its text. */
import type { JSX } from 'preact';
import { runPath } from '../../api/client';
import type { Output } from '../../api/types';

/** Where the bytes of an output are. */
export function contentOf(run: string, output: Output, download = false): string {
  return runPath(run, `/outputs/${output.n}/content${download ? '?download=1' : ''}`);
}

/** Where a small picture of it is. */
export function thumbnailOf(run: string, output: Output, size = 320): string {
  return runPath(run, `/outputs/${output.n}/thumbnail?size=${size}`);
}

/** Whether a browser shows it, judged by what its bytes are and not by its name. */
export function shownAs(output: Output): 'image' | 'video' | 'audio' | 'text' | 'file' {
  const type = output.media_type ?? '';
  if (output.text != null) return 'text';
  if (!output.downloaded) return 'file';
  if (/^image\/(png|jpeg|webp|gif)$/.test(type)) return 'image';
  if (/^video\/(mp4|webm)$/.test(type)) return 'video';
  if (/^audio\/(mpeg|wav|x-wav|flac|x-flac|ogg)$/.test(type)) return 'audio';
  return 'file';
}

/** What people call it. */
export function nameOf(output: Output): string {
  return output.filename || `${output.key || 'text'} of node ${output.node_id}`;
}

/** The output itself, small; a click on a picture opens it large. */
export function Shown({ run, output, onOpen }: { run: string; output: Output; onOpen: () => void }): JSX.Element {
  const name = nameOf(output);
  switch (shownAs(output)) {
    case 'image':
      return <button type="button" class="picture" onClick={onOpen} aria-label={`Show ${name} large`}><img src={thumbnailOf(run, output)} alt={name} loading="lazy" decoding="async" /></button>;
    case 'video':
      return <video src={contentOf(run, output)} controls preload="metadata" aria-label={name} />;
    case 'audio':
      return <audio src={contentOf(run, output)} controls preload="none" aria-label={name} />;
    case 'text':
      return <pre tabIndex={0}>{output.text}</pre>;
    case 'file':
      return <p class="empty">{output.downloaded ? <a href={contentOf(run, output, true)} download>📄 {name}</a> : (output.problem ?? 'Being fetched …')}</p>;
  }
}
