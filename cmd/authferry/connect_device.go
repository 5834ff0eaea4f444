package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"authferry/tokens/oauth"
)

// byCode has a person type a code on any device: RFC 8628.
func (v *visit) byCode(ctx context.Context) error {
	device, err := v.provider.StartDevice(ctx)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	errs, out := v.cmd.ErrOrStderr(), v.cmd.OutOrStdout()
	fmt.Fprintf(errs, "Open this page on any device, sign in as %s, and type the code below it:\n\n", v.person())
	fmt.Fprintf(out, "%s\n%s\n", device.URL, device.UserCode)
	if device.CompleteURL != "" {
		fmt.Fprintf(errs, "\nThis page has the code in it already: %s\n", device.CompleteURL)
	}
	fmt.Fprintf(errs, "\nWaiting; the code is good until %s. Ctrl-C gives up.\n", device.Expires.Local().Format("15:04"))
	token, err := v.await(ctx, errs, device)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	return v.keep(ctx, token)
}

// await waits for the code to be typed, and says now and then that it does.
func (v *visit) await(ctx context.Context, errs io.Writer, device *oauth.Device) (token *oauth.Token, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		token, err = device.Wait(ctx)
	}()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-done:
			return token, err
		case now := <-minute.C:
			if left := device.Expires.Sub(now).Round(time.Minute); left > 0 {
				fmt.Fprintf(errs, "Still waiting; the code %s is good for another %d min.\n", device.UserCode, int(left.Minutes()))
			}
		}
	}
}
