package oauth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authferry/internal/printable"
	"authferry/internal/testport"
	"authferry/tokens/oauth/oauthtest"
)

// TestProxy: a call uses the proxy in the provider's table, even to this machine, and
// failures name it without its password.
func TestProxy(t *testing.T) {
	var seen []string
	through := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
		if r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		fmt.Fprint(w, `{"access_token":"ya29.CANARY","expires_in":3599}`)
	}))
	defer through.Close()
	address, err := url.Parse(through.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("me", "proxy-CANARY")
	p := microsoftApp(oauthtest.NewAppEndpoint(t))
	p.Proxy = address
	if _, err := p.Mint(t.Context(), me); err != nil {
		t.Fatal(err)
	}
	p.TokenURL = "https://login.example.com/token"
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrUnavailable, "reached through the proxy "+printable.Quote(address.Host))
	if len(seen) != 2 || !strings.HasPrefix(seen[1], "CONNECT login.example.com:443 Basic ") {
		t.Errorf("the proxy saw %q", seen)
	}
}

// TestProxySOCKS: the provider's name goes to a socks5:// proxy, in the form of
// RFC 1928 §4 and with the user name of RFC 1929.
func TestProxySOCKS(t *testing.T) {
	j := oauthtest.NewAppEndpoint(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	heard := make(chan []byte, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 64)
		n, _ := c.Read(b)
		heard <- slices.Clone(b[:n])
	}()
	p := microsoftApp(j)
	p.Proxy = &url.URL{Scheme: "socks5", Host: listener.Addr().String(), User: url.UserPassword("me", "proxy-CANARY")}
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrUnavailable, "the proxy")
	if got := <-heard; len(got) < 3 || got[0] != 5 || !slices.Contains(got[2:], 2) {
		t.Errorf("it heard % x", got)
	}
	if len(j.Forms) != 0 {
		t.Error("the call went straight")
	}
}

// TestProbeTokenEndpoint: any response is returned, a form is sent as the client, and an
// error is that of the network.
func TestProbeTokenEndpoint(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	p := fakeProvider(f)
	r, err := p.ProbeTokenEndpoint(t.Context(), nil)
	if err != nil || r.Status != http.StatusUnauthorized || r.TLS != nil || r.Header.Get("Date") == "" {
		t.Errorf("%v, %v", r, err)
	}
	r, err = p.ProbeTokenEndpoint(t.Context(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"none"}})
	if err != nil || r.Status != http.StatusBadRequest || !strings.Contains(string(r.Body), "invalid_grant") {
		t.Errorf("%v, %v", r, err)
	}
	p.TokenURL = "http://" + testport.Refused(t) + "/token"
	if _, err := p.ProbeTokenEndpoint(t.Context(), nil); !errors.As(err, new(*net.OpError)) || errors.Is(err, ErrUnavailable) {
		t.Errorf("%T %v", err, err)
	}
	p.TokenURL = "http://mail.example.com/token"
	if _, err := p.ProbeTokenEndpoint(t.Context(), url.Values{}); !errors.Is(err, ErrRefused) {
		t.Errorf("secrets are sent in the clear: %v", err)
	}
}

// TestRepeatedSecrets: an endpoint that repeats all it was told, in every flow, does not
// bring a secret into an error.
func TestRepeatedSecrets(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	f.Does(func(w http.ResponseWriter, r *http.Request) bool {
		r.ParseForm()
		var told []string
		for _, values := range r.PostForm {
			told = append(told, values...)
		}
		told = append(told, r.Header.Get("Authorization"), r.PostForm.Encode())
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"odd","error_description":%q,"error_subtype":%q}`, strings.Join(told, " "), told[0])
		return true
	})
	p := fakeProvider(f)
	p.Flow, p.DeviceURL, p.RevokeURL, p.UserInfoURL = FlowClientCredentials, f.URL+"/device", f.URL+"/revoke", f.URL+"/me"
	_, err := p.Mint(t.Context(), me)
	wantFailure(t, err, ErrUnavailable, "odd")
	certificate := oauthtest.CertificateOf(t, oauthtest.TestKey(), time.Now().Add(time.Hour))
	if p.Certificate, err = LoadClientCertificate([]byte(certificate), []byte(oauthtest.PemOf(t, oauthtest.TestKey()))); err != nil {
		t.Fatal(err)
	}
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrUnavailable, "odd")
	p.Certificate, p.Flow = nil, FlowConsent
	_, err = p.StartDevice(t.Context())
	wantFailure(t, err, ErrUnavailable, "odd")
	wantFailure(t, p.Revoke(t.Context(), Token{Refresh: "1//CANARY"}), ErrUnavailable, "odd")
	_, err = p.WhoIs(t.Context(), &Token{Access: "ya29.CANARY"})
	wantFailure(t, err, ErrUnavailable, "odd")
	google := googleApp(oauthtest.NewAppEndpoint(t))
	google.TokenURL = f.URL + "/token"
	_, err = google.Mint(t.Context(), me)
	wantFailure(t, err, ErrUnavailable, "odd")
	if errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}
