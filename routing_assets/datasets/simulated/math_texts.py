"""The grammar of the R1 twin's mathematics problems. Each family's templates rise from easy to hard."""

from routing_assets.datasets.simulated.grammar import Grammar

MATH = Grammar(
    families={
        "arithmetic": (
            "{name} has {number} {item} and buys {number2} more. How many {item} does {name} have?",
            "Multiply {large} by {number} and subtract {large2}.",
            "Find the last two digits of {number} to the power {large}.",
            (
                "Prove for which n the number {number} to the n plus {digit} is divisible by {number2} for "
                "infinitely many primes."
            ),
        ),
        "fractions": (
            "What is half of {number} plus a quarter of {number2}?",
            "{name} spends {percent} percent of {large} euros on {item}. How much is left?",
            (
                "A tank in {place} loses a {digit}th of its water each day, {large} litres at first. When is less "
                "than {number} litres left?"
            ),
            (
                "Evaluate the continued fraction [{digit}; {digit2}, {digit3}, {number}, …] that repeats, as a "
                "quadratic surd."
            ),
        ),
        "algebra": (
            "Solve {digit}x + {number} = {large} for x.",
            "Solve the system {digit}x + {digit2}y = {number} and {digit3}x - y = {number2}.",
            "For which c does x^2 - {number}x + c = {digit} have two roots that differ by {digit2}?",
            (
                "Find all polynomials P with integer coefficients such that P({digit}) = {number}, P({number2}) = "
                "{large} and P has {digit2} integer roots."
            ),
        ),
        "geometry": (
            "The {colour} floor of {name} is {number} m long and {digit} m wide. What is its area?",
            "The ladder of {name}, {number} dm long, stands {digit} dm from a {colour} wall. How high does it reach?",
            (
                "A chord of length {number} is {number2} from the centre of a circle. Find {digit} times the area "
                "of the smaller segment."
            ),
            (
                "In the tetrahedron ABCD with AB = {number}, CD = {number2} and dihedral angle {percent} degrees, "
                "find the radius of the sphere tangent to all edges."
            ),
        ),
        "probability": (
            "{name} from {place} tosses {digit} {colour} coins. How many outcomes are there?",
            "A bag holds {number} {colour} and {number2} other {item}. What is the chance to draw two {colour} ones?",
            "{name} rolls {digit} dice until their sum exceeds {number}. What is the expected number of rolls?",
            (
                "A random walk on a cycle of {large} vertices starts at {number}. Find the expected cover time "
                "given that vertex {digit} is visited last."
            ),
        ),
        "sequences": (
            "Which number comes next: {digit}, {number}, {number2}, and so on in equal steps?",
            "Find the {number}th term of the arithmetic sequence that starts {digit}, {digit2}.",
            (
                "A sequence satisfies a(n+1) = {digit}a(n) - {number} with a(0) = {digit2}. Find a({number2}) in "
                "closed form."
            ),
            (
                "Determine the growth rate of a(n+2) = {digit}a(n+1) - {digit2}a(n) + n^{digit3} by generating "
                "functions modulo {number}."
            ),
        ),
        "rates": (
            "The car of {name} drives from {place} at {number} km per hour for {digit} hours. How far does it go?",
            "{name} paints a fence in {digit} hours and {name2} in {digit2}. How long do they need together?",
            (
                "Trains leave {place} and {place2}, {large} km apart, at {number} and {number2} km per hour. "
                "Where do they meet after a stop of {digit} minutes?"
            ),
            (
                "A snowplough of {place} starts at noon in steady snowfall and clears {digit} km in the first "
                "hour and {digit2} in the next. Solve the differential equation for when it began to snow at "
                "{number} mm per hour."
            ),
        ),
        "counting": (
            "How many ways are there for {name} to choose one of {number} {item} and one of {digit} {item2}?",
            "In how many ways can {digit} friends of {name} sit in {number} chairs?",
            "How many {digit}-digit numbers below {large} million have digits that sum to {number}?",
            (
                "Count, by Burnside's lemma, the colourings of a necklace of {large} beads with {digit} colours "
                "up to dihedral symmetry, no bead like its neighbour and {number} of them {colour}."
            ),
        ),
    },
    additions=(
        "Assume first that {name3} doubles the number {digit4} times.",
        "Then take away {number4} and round down to a multiple of {digit5}.",
        "Afterwards find for which values below {large3} the answer stays the same.",
        "Justify each step and state the answer modulo {number5}.",
    ),
)
