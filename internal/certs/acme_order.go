package certs

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"authferry/internal/printable"
)

// obtain orders a certificate for all names, and returns it and its PEM form.
func (a *acmeCertificates) obtain(ctx context.Context, kind keyKind, account crypto.Signer) (*tls.Certificate, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	client, done := a.client(account)
	defer done()
	key, err := kind.generate()
	if err != nil {
		return nil, nil, err
	}
	chain, err := a.order(ctx, client, key)
	if err != nil {
		return nil, nil, err
	}
	whole, err := encodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	for _, der := range chain {
		whole = append(whole, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	pair, err := tls.X509KeyPair(whole, whole)
	if err != nil {
		return nil, nil, fmt.Errorf("the authority signed another key: %w", err)
	}
	return &pair, whole, nil
}

// client returns a new client for each order: there is one in two months.
func (a *acmeCertificates) client(account crypto.Signer) (_ *acme.Client, done func()) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: a.Roots, MinVersion: tls.VersionTLS12}
	return &acme.Client{
		Key: account, DirectoryURL: a.Directory, UserAgent: "authferry",
		HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}, transport.CloseIdleConnections
}

// order goes through RFC 8555 §7.4 with authferry's account.
func (a *acmeCertificates) order(ctx context.Context, client *acme.Client, key crypto.Signer) ([][]byte, error) {
	account := &acme.Account{}
	if a.Email != "" {
		account.Contact = []string{"mailto:" + a.Email}
	}
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("registering with the authority: %w", acmeError(err))
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(a.Hosts...))
	if err != nil {
		return nil, fmt.Errorf("ordering a certificate: %w", acmeError(err))
	}
	challenges, err := a.openChallenges()
	if err != nil {
		return nil, err
	}
	defer challenges.close()
	for _, u := range order.AuthzURLs {
		if err := a.prove(ctx, client, challenges, u); err != nil {
			return nil, err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("waiting for the authority: %w", acmeError(err))
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: a.Hosts}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	if err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", acmeError(err))
	}
	return chain, nil
}

// acmeError leaves out of an error what only fills a line: URLs and headers of
// the authority. Its words are quoted, for they may be anything.
func acmeError(err error) error {
	var problem *acme.Error
	var authorization *acme.AuthorizationError
	var network *net.OpError
	switch {
	case errors.As(err, &authorization) && len(authorization.Errors) > 0:
		return acmeError(authorization.Errors[0])
	case errors.As(err, &problem):
		kind := strings.TrimPrefix(problem.ProblemType, "urn:ietf:params:acme:error:")
		return fmt.Errorf("the authority says %s (%d %s)", printable.Quote(problem.Detail), problem.StatusCode, printable.ASCII(kind, 60))
	case errors.As(err, &network):
		return fmt.Errorf("no connection to the authority: %w", network)
	}
	return err
}
