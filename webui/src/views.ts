/** The pages of the middle column beside the run: each is loaded when it is first opened. */
import type { FunctionComponent } from 'preact';
import type { View } from './app/route';

/** A page, with its word and sign in the bar. */
export interface Page {
  word: string;
  sign: string;
  /** Whether it takes the side column too. */
  wide: boolean;
  load: () => Promise<FunctionComponent>;
}

/** All pages but the run's. */
export const PAGES: Partial<Record<View, Page>> = {
  new: { word: 'New run', sign: '🎨', wide: true, load: async () => (await import('./launch/page')).NewRun },
  gallery: { word: 'Gallery', sign: '🖼️', wide: true, load: async () => (await import('./gallery/gallery')).Gallery },
  instances: { word: 'Instances', sign: '🖥️', wide: true, load: async () => (await import('./machines/instances')).Instances },
  setup: { word: 'Setup', sign: '🔧', wide: true, load: async () => (await import('./machines/setup')).SetupPage },
};
