package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"

	"authferry/tokens/store"
)

// begin counts a refresh, unless the vault is closed.
func (v *Vault) begin() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	v.working.Add(1)
	return true
}

func (v *Vault) end() { v.working.Done() }

// Close waits for refreshes under way, tries once more to write what the store
// did not take, writes down when passwords were last used, and closes a store
// that has connections.
func (v *Vault) Close(ctx context.Context) error {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	done := make(chan struct{})
	go func() {
		v.working.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("waiting for refreshes under way: %w", ctx.Err())
	}
	err := errors.Join(v.writeUnwritten(ctx), v.uses.close(ctx))
	if c, ok := v.store.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// writeUnwritten writes the tokens that exist nowhere but in memory.
func (v *Vault) writeUnwritten(ctx context.Context) error {
	v.mu.Lock()
	var mailboxes []string
	for mailbox, m := range v.memories {
		if m.unwritten != nil {
			mailboxes = append(mailboxes, mailbox)
		}
	}
	v.mu.Unlock()
	var errs []error
	for _, mailbox := range mailboxes {
		err := v.store.Update(ctx, mailbox, func(a *store.Account) error {
			if a.Provider == "" || !v.takeUnwritten(a) {
				return errAsIs
			}
			return nil
		})
		if err == nil {
			v.wrote(mailbox, minted{})
		} else if !errors.Is(err, errAsIs) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
