package oauthserver

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"authferry/demo/eventlog"
	"authferry/demo/mailstore"
	"authferry/demo/random"
)

const grantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4

// devices are the clients that wait for a person to type a code elsewhere.
type devices struct {
	*Server
	mu     sync.Mutex
	byCode map[string]*device // by device code
}

type device struct {
	client, scope string
	userCode      string
	expires       time.Time
	polled        time.Time
	interval      time.Duration
	denied        bool
	grant         *grant // nil: no answer yet
}

// deviceAnswer is RFC 8628 §3.2.
type deviceAnswer struct {
	DeviceCode      string  `json:"device_code"`
	UserCode        string  `json:"user_code"`
	VerificationURI string  `json:"verification_uri"`
	Complete        string  `json:"verification_uri_complete"`
	ExpiresIn       int     `json:"expires_in"`
	Interval        float64 `json:"interval"`
}

// authorize is the device authorization endpoint: RFC 8628 §3.1.
func (ds *devices) authorize(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	client, scope := r.PostFormValue("client_id"), r.PostFormValue("scope")
	err := ds.checkRequest(client, scope)
	if refused := (*oauthError)(nil); errors.As(err, &refused) {
		answerJSON(w, refused.status, refused)
		return
	}
	// No vowels: a code must not spell a word (RFC 8628 §6.1).
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	d := &device{
		client: client, scope: scope, interval: ds.options.DeviceInterval,
		userCode: random.From(letters, 4) + "-" + random.From(letters, 4),
		expires:  time.Now().Add(ds.options.DeviceLife),
	}
	code := "AH-1Ng" + random.Token(90)
	ds.mu.Lock()
	ds.byCode[code] = d
	ds.mu.Unlock()
	ds.log.Printf("oauth: a device waits for its code to be typed")
	answerJSON(w, http.StatusOK, deviceAnswer{
		code, d.userCode, ds.client.DevicePage, ds.client.DevicePage + "?user_code=" + url.QueryEscape(d.userCode),
		int(ds.options.DeviceLife / time.Second), d.interval.Seconds(),
	})
}

func (ds *devices) checkRequest(client, scope string) error {
	switch {
	case !ds.isClient(client):
		return ds.refuse(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	case strings.TrimSpace(scope) == "":
		return ds.refuse(http.StatusBadRequest, "invalid_request", "Missing required parameter: scope")
	}
	for _, s := range strings.Fields(scope) {
		if !knownScope(s) || s == gmailScope && ds.options.NoDeviceMail {
			return ds.refuse(http.StatusBadRequest, "invalid_scope", "Invalid device flow scope: "+eventlog.Quote(s))
		}
	}
	return nil
}

// redeem answers a device that polls for its grant, with the statuses of Google:
// https://developers.google.com/identity/protocols/oauth2/limited-input-device
func (ds *devices) redeem(code string) (*grant, error) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.byCode[code]
	if d == nil {
		return nil, ds.refuse(http.StatusBadRequest, "invalid_grant", "Malformed device code.")
	}
	now := time.Now()
	hasty := !d.polled.IsZero() && now.Sub(d.polled) < d.interval*3/4 // networks delay polls unevenly
	d.polled = now
	switch {
	case !now.Before(d.expires):
		return nil, ds.refuse(http.StatusBadRequest, "expired_token", "The device code has expired.")
	case hasty:
		d.interval += ds.options.DeviceInterval // for good: RFC 8628 §3.5
		return nil, ds.refuse(http.StatusForbidden, "slow_down", "Forbidden")
	case d.denied:
		return nil, ds.refuse(http.StatusForbidden, "access_denied", "Forbidden")
	case d.grant == nil:
		return nil, &oauthError{Code: "authorization_pending", Description: "Precondition Required", status: http.StatusPreconditionRequired}
	}
	delete(ds.byCode, code)
	return d.grant, nil
}

// show answers with the page on which a person types the code.
func (ds *devices) show(w http.ResponseWriter, r *http.Request) {
	view := consentView{Device: true, Code: r.URL.Query().Get("user_code"), Mailboxes: ds.store.Owners()}
	if d := ds.find(view.Code); d != nil {
		view.Client, view.Scopes = d.client, strings.Fields(d.scope)
	}
	showPage(w, http.StatusOK, view)
}

// take stores the person's answer until the device polls.
func (ds *devices) take(w http.ResponseWriter, r *http.Request) {
	mailbox := mailstore.Canonical(r.PostFormValue("mailbox"))
	d := ds.find(r.PostFormValue("user_code"))
	deny := r.PostFormValue("answer") != "allow"
	switch {
	case d == nil:
		showRefusal(ds.log, w, &refusal{http.StatusBadRequest, "invalid_request", "That code is not known, or has expired, or was used."})
		return
	case !deny && !ds.store.HasOwner(mailbox):
		showRefusal(ds.log, w, &refusal{http.StatusBadRequest, "invalid_request", "There is no such account here."})
		return
	}
	ds.mu.Lock()
	if d.denied = deny; !deny {
		d.grant = &grant{mailbox: mailbox, scope: ds.faults.GrantedScopes(d.scope)}
	}
	ds.mu.Unlock()
	done := "Your device may now use the mailbox. You can close this page."
	if deny {
		ds.log.Printf("oauth: a device was denied")
		done = "The device was turned away. You can close this page."
	} else {
		ds.log.Printf("oauth: %s allowed a device", mailbox)
	}
	showPage(w, http.StatusOK, consentView{Done: done})
}

// find looks for a device that still waits, by the code it shows. People type
// codes in lower case and leave the hyphen out.
func (ds *devices) find(userCode string) *device {
	plain := func(s string) string {
		return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(s))
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.byCode {
		if plain(d.userCode) == plain(userCode) && d.grant == nil && !d.denied && time.Now().Before(d.expires) {
			return d
		}
	}
	return nil
}
