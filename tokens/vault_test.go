package tokens

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestAuthorizeRefreshesOnceForAThousandLogins(t *testing.T) {
	r := newRig(t)
	const logins = 1000
	start := make(chan struct{})
	errs := make(chan error, logins)
	for range logins {
		go func() {
			<-start
			g, err := r.authorize()
			if err == nil && !r.endpoint.use(g.AccessToken) {
				err = errors.New("the token is not good")
			}
			errs <- err
		}()
	}
	close(start)
	for range logins {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := r.endpoint.asked(); n != 1 {
		t.Errorf("the token endpoint was asked %d times, not once", n)
	}
}

func TestRenewRefreshesOnceForAThousandSessions(t *testing.T) {
	r := newRig(t)
	old := r.mustAuthorize()
	before := r.endpoint.asked()
	var all sync.WaitGroup
	got := make([]string, 1000)
	for i := range got {
		all.Go(func() {
			g, err := r.Renew(context.Background(), old)
			if err != nil {
				got[i] = err.Error()
				return
			}
			got[i] = fmt.Sprintf("%v %v", g.Minted, r.endpoint.use(g.AccessToken) && g.AccessToken != old.AccessToken)
		})
	}
	all.Wait()
	for _, s := range got {
		if s != "true true" {
			t.Fatal(s)
		}
	}
	if n := r.endpoint.asked() - before; n != 1 {
		t.Errorf("the token endpoint was asked %d times, not once", n)
	}
}
