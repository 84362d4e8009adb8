/** What one wants to be told when one looks elsewhere. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { Dialog } from '../parts/dialog';
import { allow, chime, wish, wishes } from './alerts';

/** The dialog. */
export function AlertSettings({ onClose }: { onClose: () => void }): JSX.Element {
  const refused = useSignal(false);
  const { browser, sound, done, failed, attention, seconds } = wishes.value;
  const setBrowser = async (on: boolean): Promise<void> => {
    const allowed = on && (await allow());
    refused.value = on && !allowed;
    wish({ browser: allowed });
  };
  return (
    <Dialog label="Notifications" class="alerts" onClose={onClose}>
      <div class="body">
        <h2>🔔 Notifications</h2>
        <p class="muted">The tab always has a mark while something new is unseen. This is kept on this device.</p>
        <div class="choices">
          <label class="row"><input type="checkbox" checked={browser} onChange={(event) => void setBrowser(event.currentTarget.checked)} /> Notifications of the browser, while the page is in the background</label>
          {refused.value && <p class="text-warn" role="alert">The browser does not allow them for this page. Allow them in its settings for this address.</p>}
          <label class="row"><input type="checkbox" checked={sound} onChange={(event) => { wish({ sound: event.currentTarget.checked }); if (event.currentTarget.checked) chime(true); }} /> A sound</label>
        </div>
        <h3>When a run</h3>
        <div class="choices">
          <label class="row"><input type="checkbox" checked={done} onChange={(event) => wish({ done: event.currentTarget.checked })} /> is completed after
            <input class="num" type="number" min="0" max="86400" aria-label="Seconds" value={seconds} onInput={(event) => wish({ seconds: Math.max(0, Number(event.currentTarget.value) || 0) })} /> seconds or more</label>
          <label class="row"><input type="checkbox" checked={failed} onChange={(event) => wish({ failed: event.currentTarget.checked })} /> failed</label>
          <label class="row"><input type="checkbox" checked={attention} onChange={(event) => wish({ attention: event.currentTarget.checked })} /> needs somebody</label>
        </div>
        <div class="actions"><button type="button" class="primary" onClick={onClose}>Close</button></div>
      </div>
    </Dialog>
  );
}
