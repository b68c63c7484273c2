"""Format: names for containers that were given none, Docker's way: `adjective_surname`.

The surnames are those of people who moved science, engineering or the sea forward.
"""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["ADJECTIVES", "SURNAMES", "generate_name"]

_ADJECTIVES = """
    able agile airy alert amber ample amused apt ardent astute awake balmy blissful bold brave
    breezy bright brisk bubbly busy calm candid careful charming cheerful civil clear clever cool
    cosy curious daring dazzling deft devoted dreamy dynamic eager earnest easy elegant eloquent
    epic exact fair faithful fervent festive fine firm fluent fond frank free fresh friendly frosty
    funny gallant generous gentle gifted glad golden graceful grand happy hardy hearty helpful
    honest hopeful humble inspiring intrepid jolly jovial joyful keen kind laughing lively loving
    loyal lucid lucky magical mellow merry mindful modest musing neat nice nifty nimble noble open
    patient peaceful playful polite practical proud quick quiet quirky radiant rapid ready relaxed
    serene sharp sincere smart snug sociable solid spry steady stoic strong sunny sweet swift
    thoughtful tidy tranquil trusting upbeat useful vibrant vigilant vivid warm wise witty zealous
"""

_SURNAMES = """
    abel adleman agnesi aiken allen ampere anning archimedes ardern aristotle arkwright arrhenius
    aryabhata avogadro babbage banach banneker bardeen bartik bassi bateson becquerel bell
    bernerslee bernoulli bessemer bhabha bhaskara blackwell blackburn bohr boltzmann boole bose
    boyd boyle brahe brahmagupta brattain braun brown brunel buck cannon cantor carnot carson
    cartwright carver cassini cauchy cavendish celsius cerf chandrasekhar chaplygin chatelet
    chebyshev cho clarke cockcroft codd cohen colden conway cook copernicus cori coulomb cray crick
    curie cuvier daimler dalton darwin davinci davy dedekind descartes dewdney diesel diffie
    dijkstra dirac dubinsky easley eckert edison ehrlich einstein elion ellis engelbart eratosthenes
    erdos euclid euler faraday feistel fermat fermi feynman fibonacci fisher fleming flugge
    foucault fourier franklin fraunhofer fresnel galileo galois galvani ganguly gates gauss
    germain gibbs gilbert godel goldberg goldstine goldwasser golick goodall gould greider
    grothendieck gutenberg haber hadamard halley hamilton hamming harvey haslett hawking heaviside
    heisenberg hellman herschel hertz hertzsprung heyrovsky hilbert hipparchus hodgkin hofstadter
    hooke hoover hopper hubble humboldt hutton huygens hypatia ishizaka jackson jang jemison
    jennings jepsen jones joule kalam kapitsa kare keldysh keller kelvin kepler khayyam khorana
    kilby kirch knuth koch kowalevski lagrange lalande lamarr lamport landau laplace lavoisier
    leakey leavitt lederberg lehmann leibniz lewin lichterman linnaeus liskov lovelace lumiere
    mahavira margulis marconi matsumoto maxwell mayer mccarthy mcclintock mclaren mclean mcnulty
    meitner mendel mendeleev meninsky merkle mestorf mirzakhani moivre montalcini moore morse moser
    murdock napier nash neumann newton nightingale nobel noether northcutt noyce oersted ohm
    oppenheimer ostwald panini pare pascal pasteur payne perlman pike planck poincare poitras
    proskuriakova ptolemy raman ramanujan rhodes ride riemann ritchie robinson roentgen
    rubin rutherford saha sammet sanderson satoshi schrodinger sejong shamir shannon shaw shirley
    shockley shtern sinoussi snyder solomon spence stonebraker sutherland swanson swartz swirles
    taussig tesla tharp thompson torvalds turing ulam varahamihira vaughan villani visvesvaraya
    volhard volta watson watt wescoff wilbur wiles williams wilson wing wozniak wright wu yalow
    yonath yukawa zhukovsky zuse
"""

ADJECTIVES = tuple(_ADJECTIVES.split())
SURNAMES = tuple(_SURNAMES.split())


def generate_name(
    is_taken: Callable[[str], bool], *, choose: random.Random | None = None, tries: int = 6
) -> str:
    """Return a name that is free; from the second try on a digit stands behind it.

    When the luck runs out, digits are counted up until one is free.
    """
    dice = choose or random.Random()
    name = ""
    for attempt in range(tries):
        name = f"{dice.choice(ADJECTIVES)}_{dice.choice(SURNAMES)}"
        if attempt:
            name += str(dice.randrange(10))
        if not is_taken(name):
            return name
    number = 10
    while is_taken(f"{name}{number}"):
        number += 1
    return f"{name}{number}"
