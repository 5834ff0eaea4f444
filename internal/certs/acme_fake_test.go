package certs

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/acme"
)

// fakeACME is an authority that speaks as much of RFC 8555 as one order takes.
// It does look at the challenges, on the addresses it is told; signatures of
// requests it leaves to Pebble, see .ci/acme.
type fakeACME struct {
	*httptest.Server
	t    *testing.T
	ca   *selfMade
	http string // where its "port 80" is; "": HTTP-01 is not offered
	alpn string

	mu     sync.Mutex
	orders int
	names  []string
	status map[string]string // of authorizations, by name
	chain  []byte
	terms  bool
}

func startFakeACME(t *testing.T) *fakeACME {
	ca, err := OpenSelfMade(t.TempDir(), CurveKey, []string{"acme.example.org"}, time.Now, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeACME{t: t, ca: ca, status: map[string]string{}}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are meant to complain
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func (f *fakeACME) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(f.Certificate())
	return pool
}

func (f *fakeACME) answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

type object map[string]any

func (f *fakeACME) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Replay-Nonce", "nonce")
	payload := f.payload(r)
	place, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch place {
	case "directory":
		f.answer(w, 200, object{"newNonce": f.URL + "/nonce", "newAccount": f.URL + "/account", "newOrder": f.URL + "/order",
			"revokeCert": f.URL + "/revoke", "keyChange": f.URL + "/change", "meta": object{"termsOfService": f.URL + "/terms"}})
	case "nonce":
	case "account":
		f.terms, _ = payload["termsOfServiceAgreed"].(bool)
		w.Header().Set("Location", f.URL+"/account/1")
		f.answer(w, 201, object{"status": "valid"})
	case "order":
		if r.URL.Path == "/order" {
			f.orders++
			f.names, f.chain = nil, nil
			for _, id := range payload["identifiers"].([]any) {
				f.names = append(f.names, id.(map[string]any)["value"].(string))
			}
			clear(f.status)
			w.Header().Set("Location", f.URL+"/order/1")
			f.answer(w, 201, f.order())
			return
		}
		f.answer(w, 200, f.order())
	case "authz":
		f.answer(w, 200, f.authorization(name))
	case "challenge":
		kind, host, _ := strings.Cut(name, "/")
		f.status[host] = "valid"
		if err := f.look(kind, host); err != nil {
			f.status[host] = "invalid"
			f.t.Log(err)
		}
		f.answer(w, 200, f.challenge(kind, host))
	case "finalize":
		f.sign(payload["csr"].(string))
		w.Header().Set("Location", f.URL+"/order/1")
		f.answer(w, 200, f.order())
	case "certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(f.chain)
	default:
		f.answer(w, 404, object{"type": "urn:ietf:params:acme:error:malformed", "detail": "no " + place})
	}
}

// payload is what a request says, inside its signature (RFC 7515 §7.2.2).
func (f *fakeACME) payload(r *http.Request) map[string]any {
	var signed struct{ Payload string }
	values := map[string]any{}
	if json.NewDecoder(r.Body).Decode(&signed) == nil {
		text, _ := base64.RawURLEncoding.DecodeString(signed.Payload)
		json.Unmarshal(text, &values)
	}
	return values
}

func (f *fakeACME) order() object {
	o := object{"status": "ready", "finalize": f.URL + "/finalize"}
	var identifiers []object
	var authorizations []string
	for _, name := range f.names {
		identifiers = append(identifiers, object{"type": "dns", "value": name})
		authorizations = append(authorizations, f.URL+"/authz/"+name)
		if f.status[name] != "valid" {
			o["status"] = "pending"
		}
	}
	o["identifiers"], o["authorizations"] = identifiers, authorizations
	if f.chain != nil {
		o["status"], o["certificate"] = "valid", f.URL+"/certificate"
	}
	return o
}

func (f *fakeACME) authorization(host string) object {
	status := f.status[host]
	if status == "" {
		status = "pending"
	}
	offered := []object{f.challenge("dns-01", host)}
	if f.http != "" {
		offered = append(offered, f.challenge("http-01", host))
	}
	if f.alpn != "" {
		offered = append(offered, f.challenge("tls-alpn-01", host))
	}
	return object{"status": status, "identifier": object{"type": "dns", "value": host}, "challenges": offered}
}

func (f *fakeACME) challenge(kind, host string) object {
	o := object{"type": kind, "url": f.URL + "/challenge/" + kind + "/" + host, "token": "token-" + host, "status": "pending"}
	if s := f.status[host]; s != "" {
		o["status"] = s
	}
	if o["status"] == "invalid" {
		o["error"] = object{"type": "urn:ietf:params:acme:error:connection", "detail": "Timeout during connect (likely firewall problem)", "status": 400}
	}
	return o
}

// look does what a challenge asks the authority to.
func (f *fakeACME) look(kind, host string) error {
	if kind == "http-01" {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + f.http + "/.well-known/acme-challenge/token-" + host)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 200 || !strings.HasPrefix(string(text), "token-"+host+".") {
			return fmt.Errorf("%s: %q, %v", response.Status, text, err)
		}
		elsewhere, err := client.Get("http://" + f.http + "/")
		if err != nil || elsewhere.StatusCode != 404 {
			return fmt.Errorf("the root page: %v, %v", elsewhere, err)
		}
		return elsewhere.Body.Close()
	}
	conn, err := tls.Dial("tcp", f.alpn, &tls.Config{ServerName: host, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	leaf := state.PeerCertificates[0]
	if state.NegotiatedProtocol != acme.ALPNProto || leaf.VerifyHostname(host) != nil {
		return fmt.Errorf("protocol %q, names %q", state.NegotiatedProtocol, leaf.DNSNames)
	}
	for _, extension := range leaf.Extensions {
		if extension.Id.String() == "1.3.6.1.5.5.7.1.31" && extension.Critical { // RFC 8737 §3
			return nil
		}
	}
	return fmt.Errorf("no acmeIdentifier in the certificate")
}

func (f *fakeACME) sign(encoded string) {
	der, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		f.t.Error(err)
		return
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		f.t.Error(err)
		return
	}
	ca, err := f.ca.authority()
	if err != nil {
		f.t.Error(err)
		return
	}
	leaf := &x509.Certificate{DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err = x509.CreateCertificate(rand.Reader, leaf, ca.Leaf, csr.PublicKey, ca.PrivateKey)
	if err != nil {
		f.t.Error(err)
	}
	f.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Leaf.Raw})...)
}
